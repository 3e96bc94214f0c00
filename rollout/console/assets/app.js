// The page: what is shown, and when it is read again.
import {Refused, listen, path, request, token} from "./api.js";
import {askToken, askVerb, say} from "./dialog.js";
import {el, show} from "./dom.js";
import {at} from "./format.js";
import {List} from "./list.js";
import {phaseOf, tick} from "./parts.js";
import {ServicePage} from "./service.js";
import {language, t} from "./words.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const account = document.getElementById("account");

document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
document.getElementById("nav").prepend(el("button", {class: "skip", onclick: () => main.focus()}, t("skip")));

let me = {name: "", view: false, operate: false, tokens: false};
let page = null; // a List, or a ServicePage
let known = new Map(); // the newest states by service
let contact = null; // when something was heard last
let isLost = false;
let ending = 0;
let hangUp = null;
const phases = new Map();

// route returns the service that the address names, "" for the list.
function route() {
	const hash = location.hash;
	return hash.startsWith("#/") ? decodeURIComponent(hash.slice(2)) : "";
}

function ask(of, verb, step) {
	askVerb(me, of, verb, step, () => known.get(of.service), read);
}

// turn shows what the address names.
function turn() {
	page?.close();
	page = null;
	main.replaceChildren(el("p", {}, t("loading")));
	main.focus({preventScroll: true});
	scrollTo(0, 0);
	if (!me.view) {
		main.replaceChildren(el("p", {}, t("signInFirst")));
		return;
	}
	void read();
}

// heardOf notes that there was an answer.
function heardOf() {
	contact = new Date();
	clearTimeout(ending);
	if (!isLost) return;
	isLost = false;
	document.body.classList.remove("lost");
	connection.replaceChildren();
	say(t("contactAgain"));
}

// lost says that nothing answers. A stream that has ended alone says nothing: see down.
function lost() {
	if (isLost) return;
	isLost = true;
	document.body.classList.add("lost");
	connection.replaceChildren(el("p", {}, t("lost", contact ? at(contact) : "–")));
}

// down hears that the stream has ended, as it does when a gateway takes a new configuration.
function down() {
	ending = setTimeout(lost, 2000);
}

let reading = null;
let isReadAgain = false;

// read reads what is shown, again: once at a time, and once more if it was asked to meanwhile.
function read() {
	isReadAgain = reading !== null;
	reading ??= (async () => {
		do {
			isReadAgain = false;
			await readOnce();
		} while (isReadAgain);
		reading = null;
	})();
	return reading;
}

async function readOnce() {
	const name = route();
	try {
		if (name === "") await readList();
		else await readService(name);
		heardOf();
	} catch (error) {
		if (!(error instanceof Refused)) {
			lost();
		} else if (error.status === 401 || error.status === 403) {
			await identify();
		} else {
			heardOf();
			page?.close();
			page = null;
			main.replaceChildren(el("p", {}, el("a", {href: "#/"}, `← ${t("back")}`)), el("p", {class: "failure"}, error.message));
		}
	}
}

async function readList() {
	const answer = await request("GET", "");
	if (route() !== "") return;
	known = new Map(answer.map((s) => [s.service, s]));
	answer.forEach(announce);
	document.title = `${t("title")} – gray`;
	if (!(page instanceof List)) page = new List(main, ask);
	page.update(answer, me);
}

async function readService(name) {
	const answer = await request("GET", path(name));
	if (route() !== name) return;
	if (page?.service !== name) {
		page?.close();
		page = new ServicePage(main, name, ask, read);
	}
	known.set(name, answer);
	announce(answer);
	document.title = `${name}: ${t(`phase.${phaseOf(answer)}`, answer.forced)} – gray`;
	page.update(answer, me);
	await page.renewCharts(stableOf(answer));
}

// stableOf is the version that no rollout is about.
const stableOf = (s) => Object.keys(s.versions ?? {}).find((v) => v !== s.rollout?.version);

// announce says that a rollout is in another phase.
function announce(s) {
	const phase = phaseOf(s);
	const before = phases.get(s.service);
	phases.set(s.service, phase);
	if (before && before !== phase) say(`${s.service}: ${t(`phase.${phase}`, s.forced)}`);
}

// identify finds out who looks, and begins anew.
async function identify() {
	try {
		me = await request("GET", "me");
		heardOf();
	} catch (error) {
		if (error instanceof Refused && token.get()) {
			token.set("");
			return identify();
		}
		lost();
		setTimeout(identify, 2000);
		return undefined;
	}
	showAccount();
	hangUp?.();
	hangUp = me.view ? listen({heard, up: read, down}) : null;
	turn();
	return undefined;
}

function showAccount() {
	show(account, me, () => [
		el("span", {}, me.operate ? (me.name === "API" ? "" : t("signedInAs", me.name)) : me.view ? t("readOnly") : ""),
		me.tokens && !token.get() && el("button", {onclick: () => askToken(identify)}, t("signIn")),
		token.get() && el("button", {onclick: () => { token.set(""); void identify(); }}, t("signOut")),
	]);
}

// Reading again is put off while there is much to hear.
const pause = 1000;
let isDue = false;
let timer = 0;

function heard() {
	heardOf();
	isDue = true;
	if (timer) return;
	timer = setTimeout(async () => {
		while (isDue) {
			isDue = false;
			await read();
			await new Promise((resolve) => setTimeout(resolve, pause));
		}
		timer = 0;
	}, 50);
}

setInterval(tick, 1000);
window.addEventListener("hashchange", turn);
void identify();
