// Numbers and times as people read them.
import {language, t} from "./words.js";

const number = (options) => new Intl.NumberFormat(language, options);
const plain = number({maximumFractionDigits: 2});
const exact = number({maximumSignificantDigits: 3});

export const count = (n) => plain.format(n);
export const few = (n) => exact.format(n);
export const percent = (n) => `${plain.format(n)} %`;
export const share = (part, whole) => (whole > 0 ? `${exact.format((100 * part) / whole)} %` : "–");

export function seconds(s) {
	if (s === null || s === undefined) return "–";
	return s < 1 ? `${exact.format(1000 * s)} ms` : `${exact.format(s)} s`;
}

const moment = new Intl.DateTimeFormat(language, {dateStyle: "medium", timeStyle: "medium"});
const relative = new Intl.RelativeTimeFormat(language, {numeric: "auto", style: "short"});

export const isTime = (text) => Boolean(text) && !text.startsWith("0001-");
export const at = (text) => moment.format(new Date(text));

// ago says how far a time is away.
export function ago(text) {
	const s = (new Date(text) - Date.now()) / 1000;
	const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
	for (const [unit, length] of units) {
		if (Math.abs(s) >= length || unit === "second") return relative.format(Math.trunc(s / length), unit);
	}
	return t("now");
}
