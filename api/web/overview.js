// The status strip, the pools, and the list of events.
import { byId, el, reconcile, setText, since } from "./dom.js";
import { bytes, clock, count, full, printable } from "./format.js";
import { badge } from "./tables.js";

const CELLS = 32; // a pool of up to so many is drawn one by one

function tile(key, label, value, more, tone) {
    return { key, label, value, more, tone };
}

export function renderStrip(model) {
    const { status, ready } = model;
    if (!status) return;
    const { store } = status;
    const used = store.total_bytes - store.free_bytes;
    const waiting = status.pools.reduce((sum, pool) => sum + pool.waiting, 0);
    const tiles = [
        model.connection.state === "reconnecting" ? tile("ready", "Daemon", "No answer", "everything here is as it was when the connection was lost", "bad")
            : !ready ? tile("ready", "Daemon", "…", "being asked")
            : ready.ok ? tile("ready", "Daemon", "Ready", "Podman and CRIU answer", "good")
                : tile("ready", "Daemon", "Not ready", [printable(ready.detail, 300), ready.hint && printable(ready.hint, 300)].filter(Boolean).join(" – "), "bad"),
        tile("instances", "Instances", String(status.instances.live), "alive"),
        tile("leases", "Leases", String(status.leases.active), waiting ? `${waiting} waiting` : "nobody waits", waiting ? "warn" : null),
        tile("operations", "Operations", String(status.operations.active), "in progress"),
        tile("checkpoints", "Checkpoints", String(status.checkpoints.available), bytes(status.checkpoints.bytes)),
        { ...tile("store", "Store", bytes(store.free_bytes), `free of ${bytes(store.total_bytes)}; ${bytes(store.unpacked_bytes)} unpacked`,
            store.free_bytes < store.total_bytes / 20 ? "bad" : store.free_bytes < store.total_bytes / 8 ? "warn" : null), part: used / (store.total_bytes || 1) },
        { ...tile("up", "Running since", "", status.recovered ? full(status.started_at) : "still recovering", status.recovered ? null : "warn"), since: status.started_at },
    ];
    reconcile(byId("strip"), tiles, {
        key: (each) => each.key,
        make: (each) => el("div", { class: "tile", "data-tone": each.tone, id: `tile-${each.key}` },
            el("span", { class: "tile-label" }, each.label),
            el("span", { class: "tile-value" }, each.since ? since(each.since) : each.value),
            each.part !== undefined && el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: { width: `${(each.part * 100).toFixed(1)}%` } })),
            el("span", { class: "tile-more" }, each.more)),
    });
    setText(byId("version"), printable(status.version, 30));
}

function gauge(pool) {
    const states = [["leased", pool.leased], ["idle", pool.idle], ["filling", pool.filling], ["draining", pool.draining]];
    const used = states.reduce((sum, [, n]) => sum + n, 0);
    const size = Math.max(pool.max_size, used);
    const words = `${states.map(([state, n]) => `${n} ${state}`).join(", ")}, of ${pool.max_size} at most`;
    const cells = size <= CELLS
        ? [...states.flatMap(([state, n]) => Array(n).fill(state)), ...Array(size - used).fill("free")].map((state) => el("span", { class: `cell ${state}` }))
        : [...states, ["free", size - used]].filter(([, n]) => n > 0).map(([state, n]) => el("span", { class: `cell ${state}`, style: { "flex-grow": String(n) } }));
    return el("div", { class: size <= CELLS ? "gauge" : "gauge whole", role: "img", "aria-label": words }, cells);
}

function number(label, value, state) {
    return el("div", { class: "figure" }, el("dt", {}, state && el("span", { class: `swatch ${state}`, "aria-hidden": "true" }), label), el("dd", { class: value ? null : "zero" }, String(value)));
}

function poolCard(pool, actions) {
    const path = `/v1/templates/${encodeURIComponent(pool.template)}`;
    const buttons = [
        actions.button({ label: "Warm", what: pool.template, role: "admin", path: `${path}/warm` }),
        actions.button({ label: "Warm + checkpoint", what: pool.template, role: "admin", path: `${path}/checkpoints` }),
        pool.checkpoint && actions.button({ label: "Restore", what: pool.template, role: "admin", path: `${path}/restore` }),
    ].filter(Boolean);
    const command = `warmctl lease acquire ${pool.template}`;
    return el("article", { class: "card", "aria-label": printable(pool.template, 80) },
        el("h3", {}, el("bdi", {}, printable(pool.template, 80)),
            pool.frozen && el("span", { class: "tag" }, "frozen"),
            pool.waiting > 0 && el("span", { class: "tag warn" }, `${pool.waiting} waiting`)),
        gauge(pool),
        el("dl", { class: "figures" },
            number("idle", pool.idle, "idle"), number("leased", pool.leased, "leased"), number("filling", pool.filling, "filling"),
            number("draining", pool.draining, "draining"), number("waiting", pool.waiting)),
        el("p", { class: "faint limits" }, pool.max_size > 0 ? `keeps ${pool.min_idle} idle, ${pool.max_size} at most` : "no pool: restored when asked for",
            el("span", { class: "sep" }, " · "), pool.checkpoint ? el("code", {}, el("bdi", {}, printable(pool.checkpoint, 60))) : "no checkpoint"),
        pool.held_back && el("p", { class: "held" }, el("strong", {}, "Held back: "), el("bdi", {}, printable(pool.held_back, 400))),
        actions.allowed("exec") && el("p", { class: "lease-hint" }, el("span", { class: "faint" }, "Lease one: "), el("code", {}, printable(command, 120))),
        buttons.length > 0 && el("p", { class: "card-acts" }, buttons));
}

let poolsShown = 12;

export function renderPools(model, actions, filter) {
    if (!model.status) return;
    const pools = model.status.pools.filter((pool) => !filter || pool.template === filter);
    const shown = pools.slice(0, poolsShown);
    if (shown.length === 0) {
        reconcile(byId("pools"), [0], { key: () => "", signature: () => "empty", make: () => el("p", { class: "nothing" }, "No template yet: put one in /etc/warmd/templates.d/ and restart warmd.") });
    } else {
        reconcile(byId("pools"), shown, {
            key: (pool) => pool.template,
            signature: (pool) => model.who.role + JSON.stringify(pool),
            make: (pool) => poolCard(pool, actions),
        });
    }
    setText(byId("n-pools"), String(pools.length));
    const more = byId("more-pools");
    more.hidden = shown.length >= pools.length;
    more.onclick = () => {
        poolsShown += 24;
        renderPools(model, actions, filter);
    };
}

export function renderFeed(model, filter) {
    const events = model.feed.filter((event) => !filter || event.template === filter);
    if (events.length === 0) {
        reconcile(byId("events"), [0], { key: () => "", signature: () => "empty", make: () => el("li", { class: "nothing" }, "Nothing has happened since this page was opened.") });
    } else {
        reconcile(byId("events"), events, {
            key: (event) => event.id,
            signature: (event) => String(event.id),
            make: (event) => el("li", {},
                el("time", { datetime: event.at, title: full(event.at), class: "faint" }, clock(event.at)),
                badge(event.state),
                el("span", { class: "event-text" },
                    el("code", { class: "id" }, el("bdi", {}, printable(event.subject, 60))),
                    event.template && el("span", { class: "faint" }, " ", el("bdi", {}, printable(event.template, 80))),
                    event.reason && el("span", { class: "note" }, el("bdi", {}, printable(event.reason, 300))))),
        });
    }
    setText(byId("n-events"), events.length ? count(events.length, "event") : "");
}
