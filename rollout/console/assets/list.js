// The list of all services, those that need a person first.
import {el, show} from "./dom.js";
import {badge, isBehind, mayRollBack, needs, shareOf, stepBar, time, verdicts} from "./parts.js";
import {t} from "./words.js";

const urgency = ["look", "retry", "resume", "policy", "source", "gateways", "approval", "switch", "undecided"];
const isLive = (s) => ["running", "baking", "waiting"].includes(s.rollout?.phase);

// order puts what needs a person first, then what moves, each by name.
function order(a, b) {
	const rank = (s) => (s.needs?.length ? urgency.indexOf(s.needs[0]) : urgency.length + (isLive(s) ? 0 : 1));
	return rank(a) - rank(b) || a.service.localeCompare(b.service);
}

// showList renders the list into a place. Ask is called with a state and a verb.
export function showList(place, states, me, ask) {
	const sorted = [...states].sort(order);
	const facts = sorted.map((s) => ({...s, age_seconds: 0, contact: 0, updates: 0}));
	show(place, [facts, me.operate], () => [
		el("h1", {}, t("title")),
		sorted.length === 0 && el("p", {}, t("empty")),
		el("ul", {class: "list"}, sorted.map((s) => item(s, me, ask))),
	]);
}

function item(s, me, ask) {
	const r = s.rollout;
	const behind = (s.gateways ?? []).filter(isBehind).length;
	return el("li", {class: s.needs?.length ? "needs-person" : ""},
		el("h2", {}, el("a", {href: `#/${encodeURIComponent(s.service)}`, "data-key": `to ${s.service}`}, s.service)),
		el("p", {class: "facts"}, badge(s), r && el("span", {}, `${r.version} · `, el("strong", {}, shareOf(r))), needs(s)),
		r && el("p", {class: "facts"}, stepBar(r)),
		el("p", {class: "facts"}, r && verdicts(r),
			s.gateways?.length > 0 && el("span", {class: behind ? "behind" : ""},
				behind ? t("gateways.bad", behind, s.gateways.length) : `${t("gateways")}: ${t("gateways.ok", s.gateways.length)}`),
			el("span", {class: "quiet"}, `${t("age")} `, time(r?.since || s.since))),
		me.operate && mayRollBack(s) && el("p", {class: "buttons"}, el("button", {
			class: "danger", "data-key": `rollback ${s.service}`, onclick: () => ask(s, "rollback"),
			"aria-label": `${t("rollback")} ${s.service}`,
		}, t("rollback"))));
}
