// Dialogs in which people confirm what they do, with a reason.
import {Refused, path, request, token} from "./api.js";
import {el} from "./dom.js";
import {t} from "./words.js";

const dialog = document.getElementById("dialog");
const said = document.getElementById("said");
const nameKey = "gray-name";

// say has screen readers say something.
export function say(text) {
	said.textContent = "";
	requestAnimationFrame(() => (said.textContent = text));
}

function open(title, fields, confirm, isDanger, submit) {
	const failure = el("p", {class: "failure", role: "alert"});
	const button = el("button", {type: "submit", class: isDanger ? "danger" : "primary", "data-key": "confirm"}, confirm);
	const form = el("form", {}, el("h2", {id: "dialog-title"}, title), fields, failure,
		el("div", {class: "buttons"}, button,
			el("button", {type: "button", onclick: () => dialog.close()}, t("cancel"))));
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		button.disabled = true;
		failure.textContent = "";
		try {
			await submit();
			dialog.close();
		} catch (error) {
			failure.textContent = error instanceof Refused ? error.message : t("failed", error.message);
		}
		button.disabled = false;
	});
	dialog.setAttribute("aria-labelledby", "dialog-title");
	dialog.replaceChildren(form);
	dialog.showModal();
	form.querySelector("input")?.focus();
}

function field(label, attributes) {
	const input = el("input", {id: `field-${attributes.name}`, autocomplete: "off", ...attributes});
	return {input, whole: el("p", {class: "field"}, el("label", {for: input.id}, label), input)};
}

// whoAndWhy are the fields of every command.
function whoAndWhy(me) {
	const reason = field(t("reason"), {name: "reason", maxlength: 200});
	const name = field(t("yourName"), {name: "name", maxlength: 80, value: localStorage.getItem(nameKey) ?? ""});
	const isNamed = me.name !== "API";
	return {
		fields: isNamed ? [reason.whole] : [reason.whole, name.whole],
		read: () => {
			const body = {reason: reason.input.value};
			if (!isNamed && name.input.value) {
				localStorage.setItem(nameKey, name.input.value);
				body.by = name.input.value;
			}
			return body;
		},
	};
}

// staleness explains a refusal because of what others have done meanwhile, unless mayRepeat says that
// it does not matter.
async function staleness(error, mayRepeat) {
	if (!(error instanceof Refused) || error.status !== 409) throw error;
	if (await mayRepeat()) return;
	throw new Refused(409, `${t("stale")} (${error.message})`);
}

// askVerb moves a rollout. It goes by the state that was shown when the dialog was opened; a rollback
// of the same attempt is not refused because of what has happened since.
export function askVerb(me, state, verb, step, current, changed) {
	const {service, rollout} = state;
	const {fields, read} = whoAndWhy(me);
	const title = t(`ask.${verb}`, step ?? rollout.step, rollout.version);
	open(title, fields, t(verb), verb === "rollback", async () => {
		const body = read();
		if (step) body.step = step;
		for (let {epoch} = rollout, tries = 3; ; tries--) {
			try {
				await request("POST", path(service, verb), {body, epoch});
				break;
			} catch (error) {
				await staleness(error, async () => {
					await changed();
					const now = current()?.rollout;
					const isSame = now && now.attempt === rollout.attempt && now.version === rollout.version;
					if (verb !== "rollback" || !isSame || now.epoch === epoch || tries === 1) return false;
					({epoch} = now);
					return true;
				});
			}
		}
		say(t("done", t(verb)));
		void changed();
	});
}

// askSwitch throws the kill switch, or ends it with "".
export function askSwitch(me, state, to, changed) {
	const {fields, read} = whoAndWhy(me);
	open(to ? t("ask.throw", to) : t("ask.end"), fields, to ? t("throw") : t("end"), Boolean(to), async () => {
		try {
			await request("POST", path(state.service, "switch"), {body: {to, ...read()}});
		} catch (error) {
			await staleness(error, changed);
		}
		say(t("done", t("killSwitch")));
		void changed();
	});
}

// askToken signs in.
export function askToken(changed) {
	const {input, whole} = field(t("token"), {name: "token", type: "password", required: true,
		autocomplete: "current-password"});
	open(t("signIn"), [whole], t("signIn"), false, async () => {
		const given = input.value.trim();
		if (!(await request("GET", "me", {as: given})).name) throw new Refused(401, t("tokenWrong"));
		token.set(given);
		void changed();
	});
}
