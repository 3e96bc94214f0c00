// Requests to the API, which is beside the page.

const base = new URL("gray/v1/", document.baseURI);
const tokenKey = "gray-token";

export class Refused extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

export const token = {
	get: () => sessionStorage.getItem(tokenKey) ?? "",
	set: (text) => (text ? sessionStorage.setItem(tokenKey, text) : sessionStorage.removeItem(tokenKey)),
};

function headers(more = {}) {
	return token.get() ? {Authorization: `Bearer ${token.get()}`, ...more} : more;
}

// request calls the API, with another token if one is given. It throws Refused for an answer that says
// no, and TypeError when there is none.
export async function request(method, path, {body, epoch, as} = {}) {
	const more = {};
	if (as) more.Authorization = `Bearer ${as}`;
	if (body !== undefined) more["Content-Type"] = "application/json";
	if (epoch) more["If-Match"] = `"${epoch}"`;
	const res = await fetch(new URL(path, base), {
		method,
		headers: headers(more),
		body: body === undefined ? undefined : JSON.stringify(body),
		cache: "no-store",
		signal: AbortSignal.timeout(15000),
	});
	const text = await res.text();
	let answer = null;
	try {
		answer = JSON.parse(text);
	} catch {
		throw new Refused(res.status, `${res.status} ${res.statusText}`);
	}
	if (!res.ok) throw new Refused(res.status, answer?.error ?? `${res.status} ${res.statusText}`);
	return answer;
}

export const path = (service, ...more) => [service, ...more].map(encodeURIComponent).join("/");

// A stream without a word for so long is dead: the API says something each 15 seconds.
const silence = 40000;

// listen calls heard(kind, data) for each event, up() when a stream begins and down() when it ends,
// and begins another one after a pause. It returns what ends it.
export function listen({heard, up, down}) {
	let pause = 500;
	let isOver = false;
	let controller = new AbortController();
	let timer = 0;
	const alive = () => {
		clearTimeout(timer);
		timer = setTimeout(() => controller.abort(), silence);
	};
	async function once() {
		controller = new AbortController();
		alive();
		const res = await fetch(new URL("events", base), {headers: headers(), cache: "no-store", signal: controller.signal});
		if (!res.ok) throw new Refused(res.status, res.statusText);
		up();
		pause = 500;
		const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
		let rest = "";
		for (;;) {
			const {value, done} = await reader.read();
			if (done) return;
			alive();
			const parts = (rest + value).split("\n\n");
			rest = parts.pop();
			for (const part of parts) tell(part);
		}
	}
	function tell(part) {
		let kind = "message";
		const data = [];
		for (const line of part.split("\n")) {
			if (line.startsWith("event: ")) kind = line.slice(7);
			if (line.startsWith("data: ")) data.push(line.slice(6));
		}
		if (data.length > 0) heard(kind, JSON.parse(data.join("\n")));
	}
	(async () => {
		while (!isOver) {
			try {
				await once();
			} catch {
				// it begins again
			}
			clearTimeout(timer);
			if (isOver) return;
			down();
			await new Promise((resolve) => setTimeout(resolve, pause));
			pause = Math.min(2 * pause, 10000);
		}
	})();
	return () => {
		isOver = true;
		controller.abort();
	};
}
