// The dashboard: who is looking, what is shown, what is drawn anew when something changes.
import { Actions, sayError } from "./actions.js";
import { Api } from "./api.js";
import { byId, el, setText, tick } from "./dom.js";
import { printable } from "./format.js";
import { Model } from "./model.js";
import { renderFeed, renderPools, renderStrip } from "./overview.js";
import { Tables } from "./tables.js";
import { renderWaterfall, Timings } from "./timings.js";

const HIDDEN_MS = 60_000; // a tab nobody sees gives its connection back: browsers have six to a server

const api = new Api();
const model = new Model(api, changed, signOut);
const actions = new Actions(api, model, signOut);
const tables = new Tables(model, actions);
const timings = new Timings();
const dirty = new Set();
let filter = "";
let complaint = "";

function changed(what) {
    if (dirty.size === 0) requestAnimationFrame(draw);
    dirty.add(what);
}

const theme = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

function draw() {
    const all = dirty.has("all");
    const has = (what) => all || dirty.has(what);
    for (const list of ["operations", "instances", "leases", "checkpoints"]) if (has(list)) tables.render(list, filter);
    if (has("operations")) timings.render(model, filter, theme());
    if (has("status")) {
        renderStrip(model);
        renderPools(model, actions, filter);
        renderFilter();
    }
    if (has("feed")) renderFeed(model, filter);
    if (has("connection")) {
        renderConnection();
        renderStrip(model);
    }
    dirty.clear();
}

function renderFilter() {
    const names = model.status ? model.status.pools.map((pool) => pool.template) : [];
    const select = byId("filter");
    if (select.options.length === names.length + 1 && names.every((name, i) => select.options[i + 1].value === name)) return;
    select.replaceChildren(el("option", { value: "" }, "all"), ...names.map((name) => el("option", { value: name }, printable(name, 80))));
    if (!names.includes(filter)) filter = "";
    select.value = filter;
}

function renderConnection() {
    const { state, wait } = model.connection;
    const words = { connecting: "Connecting", live: "Live", paused: "Paused" };
    byId("connection").dataset.state = state;
    const text = state === "reconnecting" ? (wait > 0 ? "Reconnecting: what you see is old" : "Reconnecting…") : words[state];
    setText(byId("connection-text"), text);
    byId("content").classList.toggle("stale", state === "reconnecting");
}

function show(what) {
    byId("sign-in").hidden = what !== "sign-in";
    byId("content").hidden = what !== "content";
    byId("filter-label").hidden = what !== "content";
    byId("connection").hidden = what === "sign-in";
    byId("sign-out").hidden = what !== "content" || !api.token;
}

function askForToken(error) {
    model.stop();
    const tcp = model.who.via !== "socket";
    byId("sign-in-form").hidden = !tcp;
    setText(byId("sign-in-title"), tcp ? "Sign in to warmd" : "You have no role here");
    setText(byId("sign-in-text"), tcp
        ? "Over TCP warmd wants a token. An administrator makes one, and writes its sum under [tokens] in warmd.toml."
        : `${printable(model.who.name || "this user", 80)} may look at nothing: an administrator gives roles under [access] in warmd.toml.`);
    setText(byId("sign-in-error"), error);
    setText(byId("who"), "");
    show("sign-in");
    if (tcp) byId("token").focus();
}

function signOut(error) {
    const had = api.token !== "";
    api.token = "";
    askForToken(error && had ? `${printable(error.message)}${error.hint ? ` – ${printable(error.hint)}` : ""}` : "");
}

async function begin() {
    try {
        model.who = await api.get("/v1/whoami");
        if (model.who.role === "none") {
            const refused = api.token !== "";
            api.token = "";
            askForToken(refused ? "warmd does not know this token" : "");
            return;
        }
        setText(byId("who"), `${printable(model.who.name, 80)} · ${model.who.role}`);
        await model.start();
        show("content");
        changed("all");
    } catch (error) {
        if (error.denied) {
            signOut(error);
            return;
        }
        if (!error.unreachable && complaint !== error.message) sayError("Reading the state", error);
        complaint = error.message; // once, however often it is tried
        model.connection = { state: "reconnecting", wait: 1 };
        renderConnection();
        setTimeout(begin, 2000 + Math.random() * 1000);
    }
}

byId("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.token = byId("token").value.trim();
    byId("token").value = "";
    setText(byId("sign-in-error"), "");
    begin();
});
byId("sign-out").addEventListener("click", () => signOut());
byId("filter").addEventListener("change", () => {
    filter = byId("filter").value;
    changed("all");
});
byId("waterfall-kind").addEventListener("change", () => renderWaterfall(model, filter));

const themes = ["auto", "light", "dark"];
function showTheme() {
    const now = document.documentElement.dataset.theme ?? "auto";
    setText(byId("theme"), { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[now]);
    byId("theme").setAttribute("aria-label", `Theme: ${now === "auto" ? "automatic" : now}`);
    return now;
}
byId("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(showTheme()) + 1) % themes.length];
    if (next === "auto") {
        delete document.documentElement.dataset.theme;
        localStorage.removeItem("warmd.theme");
    } else {
        document.documentElement.dataset.theme = next;
        localStorage.setItem("warmd.theme", next);
    }
    showTheme();
    changed("operations"); // the plots are painted
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => changed("operations"));

let hiddenTimer = null;
document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(() => model.pause(), HIDDEN_MS);
    else model.wake();
});
window.addEventListener("online", () => model.wake());
setInterval(tick, 1000);
showTheme();
begin();
