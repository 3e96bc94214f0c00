// Parts that the list and the page of a service share.
import {el} from "./dom.js";
import {ago, at, isTime, percent} from "./format.js";
import {t} from "./words.js";

// time is a moment whose distance is kept up to date, see tick.
export function time(text) {
	return isTime(text) ? el("time", {datetime: text, title: at(text), "data-ago": text}, ago(text)) : "–";
}

// tick renews the distances of all moments.
export function tick() {
	for (const node of document.querySelectorAll("time[data-ago]")) node.textContent = ago(node.dataset.ago);
}

export const phaseOf = (state) => (state.forced ? "forced" : state.rollout?.phase ?? "none");

export function badge(state) {
	const phase = phaseOf(state);
	return el("span", {class: `badge phase-${phase}`}, t(`phase.${phase}`, state.forced));
}

// stepBar shows the steps of a plan, and where the rollout is.
export function stepBar(rollout) {
	const text = rollout.step > 0 ? t("stepOf", rollout.step, rollout.steps, rollout.plan[rollout.step - 1]) : t("phase.waiting");
	const isOver = rollout.phase === "completed";
	return el("span", {class: `steps phase-${rollout.phase}`, role: "img", "aria-label": text},
		rollout.plan.map((line, i) => el("span", {
			class: isOver || i + 1 < rollout.step ? "done" : i + 1 === rollout.step ? "current" : "coming", title: line,
		})));
}

export function verdicts(rollout) {
	return (rollout.guards ?? []).map((v) => el("span", {class: `verdict ${v.is_warning ? "warned" : v.verdict}`},
		el("span", {class: "mark", "aria-hidden": "true"}, {good: "✓", bad: "✕", undecided: "…"}[v.verdict]),
		`${v.guard}: ${t(v.verdict)}`));
}

export function needs(state) {
	return (state.needs ?? []).map((need) => el("span", {class: `need need-${need}`}, t(`need.${need}`)));
}

export const shareOf = (rollout) => percent(rollout.percent);

// isBehind says that a gateway does not follow.
export const isBehind = (g) => Boolean(g.error || g.rejected || !g.connected || isTime(g.lags));

// mayRollBack says that a rollback is possible.
export const mayRollBack = (state) => state.rollout && state.rollout.epoch > 0 && state.rollout.phase !== "rolled-back";
