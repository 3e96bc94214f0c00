// The form that says which version a request would get, and why.
import {Refused, path, request} from "./api.js";
import {el} from "./dom.js";
import {few} from "./format.js";
import {t} from "./words.js";

const all = 2n ** 64n;

// portion is a position between 0 and 2^64 in percent.
const portion = (position) => few(Number((BigInt(position) * 100000000n) / all) / 1000000);

// explainForm makes the form. What was typed stays as long as the page of the service is shown.
export function explainForm(service) {
	const answer = el("div", {"aria-live": "polite", class: "answer"});
	const area = (name, label, hint) => [el("label", {for: `why-${name}`}, label),
		el("textarea", {id: `why-${name}`, name, rows: 2, placeholder: hint, spellcheck: "false"})];
	const input = (name, label, hint) => [el("label", {for: `why-${name}`}, label),
		el("input", {id: `why-${name}`, name, placeholder: hint, autocomplete: "off"})];
	const form = el("form", {class: "why"},
		el("p", {}, t("whyHelp")),
		el("div", {class: "fields"},
			el("p", {class: "field"}, area("headers", t("headers"), "X-App-Version: beta")),
			el("p", {class: "field"}, area("cookies", t("cookies"), "uid=u-1027")),
			el("p", {class: "field"}, input("address", t("ip"), "127.0.0.1")),
			el("p", {class: "field"}, input("host", t("host"), "")),
			el("p", {class: "field"}, input("path", t("path"), "/"))),
		el("p", {class: "buttons"}, el("button", {type: "submit"}, t("explain"))), answer);
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		try {
			answer.replaceChildren(...explained(await request("POST", path(service, "explain"), {body: read(form)})));
		} catch (error) {
			answer.replaceChildren(el("p", {class: "failure"}, error instanceof Refused ? error.message : t("failed", error.message)));
		}
	});
	return form;
}

function read(form) {
	const lines = (name) => form.elements[name].value.split("\n").map((l) => l.trim()).filter(Boolean);
	const body = {headers: {}, cookies: {}};
	for (const line of lines("headers")) {
		const [name, ...value] = line.split(":");
		(body.headers[name.trim()] ??= []).push(value.join(":").trim());
	}
	for (const line of lines("cookies").flatMap((l) => l.split(";"))) {
		const [name, ...value] = line.split("=");
		body.cookies[name.trim()] = value.join("=").trim();
	}
	for (const name of ["address", "host", "path"]) {
		const value = form.elements[name].value.trim();
		if (value) body[name] = value;
	}
	return body;
}

function explained(x) {
	return [
		el("p", {}, el("strong", {}, t("why.version", x.version, x.reason))),
		el("p", {}, x.identity ? t("why.identity", x.identity, x.identity_source) : t("why.nobody")),
		x.rules?.length > 0 && el("ol", {}, x.rules.map((r) => el("li", {class: r.matched ? "matched" : ""},
			el("strong", {}, r.rule), r.version ? ` → ${r.version}: ` : ": ", traced(r)))),
	].filter(Boolean);
}

function traced(r) {
	if (r.failed) return t("why.failed", r.failed);
	const parts = [r.matched ? t("why.matched") : r.withdrawn ? t("why.withdrawn") : t("why.out")];
	const b = r.bucket;
	if (b?.position && b.threshold) parts.push(t("why.stands", portion(b.position), few(b.percent)));
	for (const range of b?.position ? b.ranges ?? [] : []) {
		parts.push(`${range.version}: ${portion(range.from)} % – ${portion(range.to)} % (${portion(b.position)} %)`);
	}
	return parts.join("; ");
}
