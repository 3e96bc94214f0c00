// The page of one service.
import {path, request} from "./api.js";
import {Charts} from "./charts.js";
import {askSwitch} from "./dialog.js";
import {el, show} from "./dom.js";
import {few, isTime, share} from "./format.js";
import {explainForm} from "./explain.js";
import {badge, isBehind, mayRollBack, needs, shareOf, time} from "./parts.js";
import {t} from "./words.js";

// ServicePage keeps the page of a service up to date. Ask is called with a state, a verb and a step.
export class ServicePage {
	constructor(main, service, ask, changed) {
		this.service = service;
		this.ask = ask;
		this.changed = changed;
		this.revision = null;
		this.places = {};
		const place = (name, title) => {
			this.places[name] = el("div");
			return title ? el("section", {id: `section-${name}`, "aria-label": title}, el("h2", {}, title), this.places[name])
				: el("section", {id: `section-${name}`}, this.places[name]);
		};
		this.policy = el("pre", {tabindex: "0"});
		this.policyAbout = el("p", {class: "quiet"});
		main.replaceChildren(
			el("p", {}, el("a", {href: "#/"}, `← ${t("back")}`)),
			place("head"), place("problems"), place("steps", t("steps")), place("guards", t("guards")),
			place("charts", t("charts")), place("instances", t("instances")), place("gateways", t("gateways")),
			place("switch", t("killSwitch")),
			el("section", {id: "section-why", "aria-label": t("why")}, el("h2", {}, t("why")), explainForm(service)),
			el("section", {id: "section-policy", "aria-label": t("policy")}, el("h2", {}, t("policy")), this.policyAbout,
				this.policy),
			place("history", t("history")), place("journal", t("journal")));
		this.places.charts.classList.add("charts");
	}

	close() {
		this.charts?.close();
	}

	update(state, me) {
		const s = state;
		const r = s.rollout;
		const section = (name, facts, build) => {
			this.places[name].parentElement.hidden = facts === null;
			if (facts !== null) show(this.places[name], facts, build);
		};
		section("head", [r, s.needs, s.forced, s.next, me.operate], () => this.head(s, me));
		section("problems", hasProblems(s) ? [s.error, s.connected, s.rejected, s.warnings, s.switch_note, r?.note] : null,
			() => problems(s));
		section("steps", r ? [r.plan, r.step, r.phase, me.operate, r.epoch] : null, () => this.steps(s, me));
		section("guards", r?.guards?.length ? r.guards : null, () => guards(r));
		section("instances", s.versions ? [s.versions, s.upstreams] : null, () => instances(s));
		section("gateways", s.gateways?.length ? s.gateways.map((g) => ({...g, contact: 0})) : null, () => gateways(s));
		section("switch", [s.switch, s.forced, Object.keys(s.versions ?? {}), me.operate], () => this.killSwitch(s, me));
		section("history", r?.history?.length ? r.history : null, () => history(r));
		section("journal", s.journal?.length ? s.journal : null, () => journal(s));
		this.readPolicy(s);
	}

	// renewCharts reads new figures.
	async renewCharts(stable) {
		this.charts ??= new Charts(this.places.charts, this.service, stable);
		await this.charts.renew();
	}

	async readPolicy(s) {
		const revision = `${s.origin} ${s.revision} ${s.since}`;
		if (this.revision === revision) return;
		this.revision = revision;
		this.policyAbout.replaceChildren(...(s.origin === "none" ? [t("policy.none")]
			: [t("policy.since", s.revision || "–", ""), time(s.since), ` · ${t("source")}: ${s.source || "–"}`]));
		try {
			this.policy.textContent = JSON.stringify(await request("GET", path(this.service, "policy")), null, 2);
		} catch (error) {
			this.policy.textContent = error.message;
			if (!error.status) this.revision = null; // there was no answer
		}
	}

	head(s, me) {
		const r = s.rollout;
		return [
			el("h1", {}, s.service, " ", badge(s), needs(s)),
			r && el("p", {class: "share"}, el("strong", {}, shareOf(r)), ` ${r.version} · `,
				r.step > 0 ? t("stepOf", r.step, r.steps, r.plan[Math.min(r.step, r.steps) - 1]) : t("phase.waiting"),
				" · ", t("attempt", r.attempt)),
			r && el("p", {class: "reason"}, r.reason, r.by && el("span", {class: "quiet"}, ` (${r.by})`), " ", time(r.since)),
			r && isTime(s.next) && el("p", {class: "quiet"}, t("next", ""), time(s.next)),
			s.needs?.includes("approval") && el("p", {class: "quiet"}, t("nextApproval")),
			me.operate && r && el("p", {class: "buttons"}, this.verbs(s).map((verb) => el("button", {
				class: verb === "rollback" ? "danger" : verb === "approve" ? "primary" : "",
				"data-key": verb, onclick: () => this.ask(s, verb),
			}, t(verb)))),
		];
	}

	// verbs are those that are possible now.
	verbs(s) {
		const {phase, step, steps, approved, epoch, plan} = s.rollout;
		if (!epoch) return [];
		const isActive = ["waiting", "running", "baking"].includes(phase);
		return [
			plan[step - 1]?.includes("until approved") && !approved && phase !== "completed" && phase !== "rolled-back" && "approve",
			phase === "paused" && "resume",
			phase === "rolled-back" && "retry",
			isActive && "pause",
			isActive && "advance",
			isActive && step < steps - 1 && "promote",
			mayRollBack(s) && "rollback",
		].filter(Boolean);
	}

	steps(s, me) {
		const r = s.rollout;
		const isOver = r.phase === "completed";
		const of = (i) => (isOver || i < r.step ? "done" : i === r.step && r.phase !== "rolled-back" ? "current" : "coming");
		return el("ol", {class: `timeline phase-${r.phase}`}, r.plan.map((line, i) => el("li", {
			class: of(i + 1), "aria-current": of(i + 1) === "current" ? "step" : undefined,
		}, line, el("span", {class: "quiet"}, ` ${t(`step.${of(i + 1)}`)}`),
		me.operate && r.epoch > 0 && r.phase !== "rolled-back" && i + 1 !== r.step && el("button", {
			class: "small", "data-key": `goto ${i + 1}`, "aria-label": `${t("goto")}: ${line}`,
			onclick: () => this.ask(s, "goto", i + 1),
		}, t("goto")))));
	}

	killSwitch(s, me) {
		const {switch: sw} = s;
		const names = Object.keys(s.versions ?? {}).sort();
		const select = el("select", {id: "switch-to", "data-key": "switch-to"}, names.map((name) => el("option", {}, name)));
		return [
			el("p", {}, !sw ? t("switch.none") : sw.to ? el("strong", {}, t("switch.on", sw.to, sw.epoch)) : t("switch.off", sw.epoch),
				sw && [" ", sw.by && t("switch.by", sw.by), sw.reason && ` – ${sw.reason} `, sw.at && [" ", time(sw.at)]]),
			me.operate && names.length > 0 && el("p", {class: "buttons"},
				el("label", {for: "switch-to"}, t("throwTo")), select,
				el("button", {class: "danger", "data-key": "throw", onclick: () => askSwitch(me, s, select.value, this.changed)},
					t("throw")),
				sw?.to && el("button", {"data-key": "end", onclick: () => askSwitch(me, s, "", this.changed)}, t("end"))),
		];
	}
}

const hasProblems = (s) => !s.connected || s.rejected || s.warnings?.length || s.switch_note || s.rollout?.note;

function problems(s) {
	return el("ul", {class: "problems"},
		!s.connected && el("li", {class: "bad"}, t("source.away", s.error ?? "")),
		s.rejected && el("li", {class: "bad"}, `${t("policy.rejected")} (${s.rejected.revision}) `, time(s.rejected.at),
			el("pre", {tabindex: "0"}, s.rejected.error)),
		s.switch_note && el("li", {}, s.switch_note),
		s.rollout?.note && el("li", {}, s.rollout.note),
		(s.warnings ?? []).map((w) => el("li", {}, w)));
}

// table makes a table that scrolls by itself where the screen is narrow.
function table(label, heads, rows) {
	return el("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": label},
		el("table", {}, el("thead", {}, el("tr", {}, heads.map((h) => el("th", {scope: "col"}, h)))),
			el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));
}

function guards(r) {
	const arm = (a) => `${share(a.bad, a.callers)} (${few(a.bad)} / ${few(a.callers)})`;
	return table(t("guards"), [t("guard"), t("verdict"), t("canary"), t("control"), t("evidence"), t("then")],
		r.guards.map((v) => [
			el("code", {}, v.guard),
			[el("span", {class: `verdict ${v.is_warning ? "warned" : v.verdict}`}, t(v.verdict)),
				v.cause && ` ${v.cause}`, v.reason && el("div", {class: "reason"}, v.reason),
				v.wait_seconds > 0 && el("div", {class: "quiet"}, t("enoughIn", ""),
					time(new Date(Date.now() + 1000 * v.wait_seconds).toISOString()))],
			arm(v.canary), arm(v.control),
			[el("meter", {min: 0, max: Math.max(v.threshold, 1e-9), low: v.threshold / 3, high: 0.99 * v.threshold, optimum: 0,
				value: Math.max(0, Math.min(v.evidence, v.threshold)), "aria-label": `${t("evidence")} ${v.guard}`}), ` ${t("ofThreshold", few(v.evidence), few(v.threshold))}`],
			t(`then.${v.then}`),
		]));
}

function instances(s) {
	const rows = [];
	for (const name of Object.keys(s.versions).sort()) {
		for (const u of s.versions[name]) {
			const health = u.up === undefined ? "unknown" : u.up ? "up" : "down";
			rows.push([name, u.address, el("span", {class: `health ${health}`}, t(`instance.${health}`))]);
		}
		if (s.versions[name].length === 0) rows.push([name, t("instance.none"), s.upstreams?.[name]?.error ?? ""]);
	}
	return table(t("instances"), [t("version"), t("address"), t("health")], rows);
}

function gateways(s) {
	const about = (g) => {
		if (g.error) return t("follows.away", g.error);
		if (g.rejected) return t("follows.refuses", g.rejected);
		if (!g.connected) return t("follows.source");
		return isTime(g.lags) ? [t("follows.lags", ""), time(g.lags)] : t("follows.ok");
	};
	return table(t("gateways"), [t("address"), t("follows"), t("percent"), t("revision")], s.gateways.map((g) => [
		g.address, el("span", {class: isBehind(g) ? "verdict bad" : "verdict good"}, about(g)), `${few(g.percent)} %`,
		el("code", {}, g.revision ?? "–"),
	]));
}

function history(r) {
	return table(t("history"), [t("when"), t("phase"), t("percent"), t("what"), t("who")], [...r.history].reverse().map((h) => [
		time(h.at), [t(`phase.${h.phase}`), el("div", {class: "quiet"}, t("attempt", h.attempt))], `${few(h.percent)} %`,
		h.reason ?? "", h.by ?? "",
	]));
}

function journal(s) {
	return table(t("journal"), [t("when"), t("what")], [...s.journal].reverse().map((e) => [time(e.at), e.text]));
}
