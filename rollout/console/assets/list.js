// The list of all services, those that need a person first.
import {el, show} from "./dom.js";
import {badge, mayRollBack, needs, shareOf, stepBar, time, verdicts} from "./parts.js";
import {t} from "./words.js";

const urgency = ["look", "retry", "resume", "policy", "source", "gateways", "approval", "switch", "undecided"];
const isLive = (s) => ["running", "baking", "waiting"].includes(s.rollout?.phase);

// order puts what needs a person first, then what moves, each by name.
function order(a, b) {
	const rank = (s) => (s.needs?.length ? urgency.indexOf(s.needs[0]) : urgency.length + (isLive(s) ? 0 : 1));
	return rank(a) - rank(b) || a.service.localeCompare(b.service);
}

// List renders the services into a place. What has not changed is not rendered again. Ask is called
// with a state and a verb.
export class List {
	constructor(main, ask) {
		this.ask = ask;
		this.items = new Map();
		this.order = "";
		this.empty = el("p", {hidden: true}, t("empty"));
		this.list = el("ul", {class: "list"});
		main.replaceChildren(el("h1", {}, t("title")), this.empty, this.list);
	}

	close() {}

	update(states, me) {
		const sorted = [...states].sort(order);
		this.empty.hidden = sorted.length > 0;
		for (const s of sorted) {
			let item = this.items.get(s.service);
			if (!item) {
				item = el("li");
				this.items.set(s.service, item);
			}
			item.className = s.needs?.length ? "needs-person" : "";
			show(item, [{...s, age_seconds: 0, contact: 0, updates: 0}, me.operate], () => parts(s, me, this.ask));
		}
		const names = JSON.stringify(sorted.map((s) => s.service));
		if (names === this.order) return;
		this.order = names;
		const focused = document.activeElement;
		this.list.replaceChildren(...sorted.map((s) => this.items.get(s.service)));
		if (this.list.contains(focused)) focused.focus({preventScroll: true});
		for (const name of this.items.keys()) {
			if (!sorted.some((s) => s.service === name)) this.items.delete(name);
		}
	}
}

function parts(s, me, ask) {
	const r = s.rollout;
	return [
		el("h2", {}, el("a", {href: `#/${encodeURIComponent(s.service)}`, "data-key": "to"}, s.service)),
		el("p", {class: "facts"}, badge(s), r && el("span", {}, `${r.version} · `, el("strong", {}, shareOf(r))), needs(s)),
		r && el("p", {class: "facts"}, stepBar(r)),
		el("p", {class: "facts"}, r && verdicts(r),
			s.gateways_known > 0 && el("span", {class: s.behind ? "behind" : ""}, s.behind
				? t("gateways.bad", s.behind, s.gateways_known) : `${t("gateways")}: ${t("gateways.ok", s.gateways_known)}`),
			el("span", {class: "quiet"}, `${t("age")} `, time(r?.since || s.since))),
		me.operate && mayRollBack(s) && el("p", {class: "buttons"}, el("button", {
			class: "danger", "data-key": "rollback", onclick: () => ask(s, "rollback"),
			"aria-label": `${t("rollback")} ${s.service}`,
		}, t("rollback"))),
	];
}
