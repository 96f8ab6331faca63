// What a person may do here: ask where it destroys something, send, and say what came of it.
import { byId, el, setText } from "./dom.js";
import { printable } from "./format.js";

const RANK = { none: 0, read: 1, exec: 2, admin: 3 };

export class Actions {
    #api;
    #model;
    #denied;

    constructor(api, model, denied) {
        this.#api = api;
        this.#model = model;
        this.#denied = denied;
    }

    allowed(role) {
        return RANK[this.#model.who.role] >= RANK[role];
    }

    /**
     * A button, or null for whom it is not. `what` names it for those who do not see its place; `path` is sent with
     * `method`; `ask` is {title, text, yes} where it has to be confirmed.
     */
    button({ label, what, role, method = "POST", path, ask, list }) {
        if (!this.allowed(role)) return null;
        const button = el("button", {
            type: "button",
            class: ask ? "act danger-text" : "act",
            "aria-label": `${label} ${printable(what, 80)}`,
            "data-action": label,
        }, label);
        button.addEventListener("click", async () => {
            if (ask && !(await confirm(ask))) return;
            button.disabled = true;
            try {
                await this.#send(label, method, path, list);
            } finally {
                button.disabled = false;
            }
        });
        return button;
    }

    async #send(label, method, path, list) {
        try {
            const document = method === "POST" ? await this.#api.start(path) : await this.#api.del(path);
            if (document?.id?.startsWith("op-")) {
                this.#model.putOperation(document);
                say(`${label}: operation ${document.id} is ${document.state}`);
            } else {
                say(`${label}: done`);
            }
            if (list) this.#model.refresh([list, "status"]);
        } catch (error) {
            if (error.denied) this.#denied(error);
            else sayError(label, error);
        }
    }
}

/** True when the person agrees. Escape and the other button do not. */
function confirm({ title, text, yes, no = "Keep it" }) {
    const dialog = byId("confirm");
    setText(byId("confirm-title"), printable(title, 120));
    setText(byId("confirm-text"), printable(text, 600));
    setText(byId("confirm-yes"), yes);
    setText(byId("confirm-no"), no);
    return new Promise((resolve) => {
        const agree = () => dialog.close("yes");
        const refuse = () => dialog.close("no");
        byId("confirm-yes").addEventListener("click", agree);
        byId("confirm-no").addEventListener("click", refuse);
        dialog.addEventListener("close", () => {
            byId("confirm-yes").removeEventListener("click", agree);
            byId("confirm-no").removeEventListener("click", refuse);
            resolve(dialog.returnValue === "yes");
        }, { once: true });
        dialog.returnValue = "";
        dialog.showModal();
    });
}

function show(toast, lifetime) {
    byId("toasts").append(toast);
    while (byId("toasts").children.length > 4) byId("toasts").firstElementChild.remove();
    if (lifetime) setTimeout(() => toast.remove(), lifetime);
}

export function say(text) {
    show(el("div", { class: "toast" }, el("p", {}, printable(text))), 6000);
}

/** Stays until it is closed: an error is to be read. */
export function sayError(what, error) {
    const toast = el("div", { class: "toast bad", role: "alert" });
    const close = el("button", { type: "button", class: "quiet", "aria-label": "Close the message" }, "✕");
    close.addEventListener("click", () => toast.remove());
    toast.append(
        el("div", {},
            el("p", {}, el("strong", {}, `${what} failed: `), printable(error.message, 600)),
            error.hint && el("p", { class: "hint" }, printable(error.hint, 600)),
            error.cause && el("p", { class: "cause" }, printable(error.cause, 600)),
            el("p", { class: "faint" }, printable(error.code), error.requestId && ` · ${printable(error.requestId, 80)}`)),
        close);
    show(toast, 0);
}
