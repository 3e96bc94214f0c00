// Charts of one service, drawn by uPlot.
import {path, request} from "./api.js";
import {el} from "./dom.js";
import {few, percent, seconds} from "./format.js";
import {language, t} from "./words.js";

/* global uPlot */

const most = 720; // points of a chart; with more of them, all are read again, as there are fewer by then
const colours = ["--canary", "--control", "--third", "--fourth", "--fifth", "--sixth"];
const dashes = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const share = (v) => (v === null || v === undefined ? "–" : percent(100 * v));
const plain = (v) => (v === null || v === undefined ? "–" : few(v));

// Charts holds the figures of a service and their charts.
export class Charts {
	constructor(place, service, stable) {
		this.place = place;
		this.service = service;
		this.stable = stable;
		this.figures = null;
		this.renewing = null;
		this.drawn = new Map();
		this.resized = new ResizeObserver(() => this.resize());
		this.resized.observe(place);
		this.scheme = matchMedia("(prefers-color-scheme: dark)");
		this.redraw = () => {
			this.drawn.forEach((c) => c.plot.destroy());
			this.drawn.clear();
			this.place.replaceChildren();
			this.draw();
		};
		this.scheme.addEventListener("change", this.redraw);
	}

	close() {
		this.resized.disconnect();
		this.scheme.removeEventListener("change", this.redraw);
		this.drawn.forEach((c) => c.plot.destroy());
		this.drawn.clear();
	}

	// renew reads what is new, once at a time.
	renew() {
		this.renewing ??= this.read().finally(() => (this.renewing = null));
		return this.renewing;
	}

	async read() {
		const last = this.figures?.at.at(-1);
		const more = await request("GET", `${path(this.service, "figures")}${last ? `?since=${last}` : ""}`);
		if (last && more.at.length === 0) return;
		const isJoined = last && this.figures.at.length < most && isAlike(this.figures, more);
		this.figures = isJoined ? join(this.figures, more) : last ? await request("GET", path(this.service, "figures")) : more;
		this.draw();
	}

	draw() {
		const f = this.figures;
		if (!f) return;
		const specs = describe(f, this.stable);
		for (const [key, c] of this.drawn) {
			if (specs.some((s) => keyOf(s) === key)) continue;
			c.plot.destroy();
			c.figure.remove();
			this.drawn.delete(key);
		}
		if (f.at.length < 2) {
			this.place.replaceChildren(el("p", {class: "quiet"}, t("chart.none")));
			return;
		}
		this.place.querySelector(":scope > p")?.remove();
		for (const s of specs) {
			const data = [f.at, ...s.lines.map((l) => l.values)];
			let c = this.drawn.get(keyOf(s));
			if (!c) {
				c = this.make(s, data);
				this.drawn.set(keyOf(s), c);
			} else {
				c.plot.setData(data);
			}
			if (c.plot.cursor.idx === null || c.plot.cursor.idx === undefined) c.plot.setLegend({idx: f.at.length - 1});
			c.drawing.setAttribute("aria-label", `${s.title}. ${t("latest", s.lines.map((l) =>
				`${l.label} ${s.format(lastOf(l.values))}`).join(", "))}`);
		}
	}

	make(s, data) {
		const drawing = el("div", {role: "img"});
		const figure = el("figure", {}, el("figcaption", {}, s.title), drawing);
		this.place.append(figure);
		const axis = {stroke: colour("--quiet"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}};
		const plot = new uPlot({
			width: Math.max(drawing.clientWidth, 200),
			height: 190,
			legend: {live: true},
			cursor: {y: false},
			scales: {y: {range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, s.least) * 1.05]}},
			axes: [
				{...axis, values: (_, splits) => splits.map((v) => new Date(1000 * v).toLocaleTimeString(language,
					{hour: "2-digit", minute: "2-digit", second: "2-digit"})), space: 90},
				{...axis, size: 64, values: (_, splits) => splits.map((v) => s.format(v))},
			],
			series: [{label: t("time"), value: (_, v) => (v ? new Date(1000 * v).toLocaleTimeString(language) : "–")},
				...s.lines.map((l, i) => ({
					label: l.label, stroke: colour(l.colour ?? colours[i % colours.length]), width: 2,
					dash: l.dash ?? dashes[i % dashes.length], points: {show: false}, spanGaps: true,
					value: (_, v) => s.format(v),
				}))],
		}, data, drawing);
		return {plot, figure, drawing};
	}

	resize() {
		for (const {plot, figure} of this.drawn.values()) {
			const width = Math.max(figure.clientWidth, 200);
			if (Math.abs(plot.width - width) > 1) plot.setSize({width, height: 190});
		}
	}
}

const lastOf = (values) => values.findLast((v) => v !== null && v !== undefined);
const keyOf = (s) => [s.title, ...s.lines.map((l) => l.label)].join("\n");

// describe says which charts there are.
function describe(f, stable) {
	const threshold = (v) => f.at.map(() => v);
	const others = [...new Set([...f.versions, ...f.decisions].map((v) => v.version))].filter((v) => v !== stable);
	const colourOf = (version) => (version === stable ? "--control"
		: version === others[0] ? "--canary" : colours[(others.indexOf(version) + 1) % colours.length]);
	const ofVersion = (of) => f.versions.map((v) => ({label: v.version, values: v[of], colour: colourOf(v.version)}));
	const charts = [];
	for (const g of f.guards) {
		if (g.canary.some((v) => v !== null) || g.control.some((v) => v !== null)) {
			charts.push({title: t("chart.bad", g.guard), format: share, least: 0.01, lines: [
				{label: t("canary"), values: g.canary, colour: "--canary"},
				{label: t("control"), values: g.control, colour: "--control"},
				...(g.limit.some((v) => v !== null) ? [{label: t("limit"), values: g.limit, colour: "--bad", dash: [6, 4]}] : []),
			]});
		}
		charts.push({title: t("chart.evidence", g.guard), format: plain, least: g.threshold, lines: [
			{label: t("evidence"), values: g.evidence, colour: "--canary"},
			{label: t("threshold"), values: threshold(g.threshold), colour: "--bad", dash: [6, 4]},
		]});
	}
	if (f.guards.length > 0 || f.percent.some((v) => v > 0)) {
		charts.push({title: t("percent"), format: (v) => (v === null || v === undefined ? "–" : percent(v)), least: 1,
			lines: [{label: t("percent"), values: f.percent, colour: "--canary"}]});
	}
	const exposed = f.guards.find((g) => g.exposed.some((v) => v > 0));
	if (exposed) {
		charts.push({title: t("exposed"), format: plain, least: 1,
			lines: [{label: t("canary"), values: exposed.exposed, colour: "--canary"}]});
	}
	if (f.versions.length > 0) {
		charts.push({title: t("chart.failed"), format: share, least: 0.01, lines: ofVersion("failed")});
		charts.push({title: t("chart.latency"), format: seconds, least: 0.001, lines: [
			...ofVersion("p50").map((l) => ({...l, label: `${l.label} 50 %`, dash: [2, 2]})),
			...ofVersion("p90").map((l) => ({...l, label: `${l.label} 90 %`, dash: []})),
		]});
		charts.push({title: t("chart.requests"), format: plain, least: 1, lines: ofVersion("requests")});
	}
	if (f.decisions.length > 0) {
		charts.push({title: t("chart.decisions"), format: plain, least: 1, lines: f.decisions.map((d, i) => ({
			label: `${d.version} (${d.rule || t("noRule")})`, values: d.requests, colour: colourOf(d.version),
			dash: dashes[f.decisions.slice(0, i).filter((e) => e.version === d.version).length % dashes.length],
		}))});
	}
	return charts;
}

const namesOf = (f) => JSON.stringify([f.guards.map((g) => g.guard), f.versions.map((v) => v.version),
	f.decisions.map((d) => [d.version, d.rule])]);

const isAlike = (a, b) => namesOf(a) === namesOf(b);

// join adds newer figures. A guard's threshold is the newest.
function join(a, b) {
	const add = (x, y) => [...x, ...y];
	const columns = (x, y) => Object.fromEntries(Object.entries(y).map(([name, value]) =>
		[name, Array.isArray(value) ? add(x[name], value) : value]));
	const each = (x, y) => y.map((one, i) => columns(x[i], one));
	return {
		at: add(a.at, b.at), percent: add(a.percent, b.percent), guards: each(a.guards, b.guards),
		versions: each(a.versions, b.versions), decisions: each(a.decisions, b.decisions),
	};
}
