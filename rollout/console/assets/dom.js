// Elements are made here and nowhere else: text is always text, never markup.

// el makes an element. Attributes that are false, null or undefined are left out; those that begin
// with "on" are listeners.
export function el(tag, attributes = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === false || value === null || value === undefined) continue;
		if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
		else made.setAttribute(name, value === true ? "" : value);
	}
	made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
	return made;
}

const shown = new WeakMap();

// show replaces what is in a place by what build returns, unless it was made of the same facts. The
// focus stays on the element with the same data-key.
export function show(place, facts, build) {
	const mark = JSON.stringify(facts);
	if (shown.get(place) === mark) return;
	shown.set(place, mark);
	const focused = document.activeElement;
	const key = place.contains(focused) ? focused.dataset.key : undefined;
	place.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
	if (key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({preventScroll: true});
}
