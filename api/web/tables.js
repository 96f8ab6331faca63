// Operations, instances, leases, checkpoints: a row each.
import { byId, el, reconcile, remaining, setText, since, until } from "./dom.js";
import { bytes, parseDuration, printable, span } from "./format.js";
import { colourOf } from "./phases.js";

const FIRST = 12;
const STEP = 50;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

export const badge = (state) => el("span", { class: "badge", "data-state": printable(state, 30) }, printable(state, 30));

const id = (text) => el("code", { class: "id", title: printable(text, 100) }, el("bdi", {}, printable(text, 60)));
const name = (text) => el("bdi", { class: "name" }, printable(text ?? "–", 80));
const note = (text, bad) => (text ? el("p", { class: bad ? "note bad" : "note", title: printable(text, 1000) }, el("bdi", {}, printable(text, 400))) : null);
const td = (label, attributes, ...children) => el("td", { "data-label": label, ...attributes }, ...children);

/** The phases of an operation as one bar, in proportion; the one it is in moves. */
function progress(operation) {
    const running = !FINAL.has(operation.state);
    const total = operation.phases.reduce((sum, phase) => sum + phase.elapsed_ms, 0);
    const words = operation.phases.map((phase) => `${printable(phase.name, 40)} ${span(phase.elapsed_ms)}`);
    const bar = el("span", { class: "phase-bar", role: "img", "aria-label": `Phases: ${words.join(", ") || "none yet"}`, title: words.join("\n") || null },
        operation.phases.map((phase) => el("span", {
            class: `phase c${colourOf(phase.name)}`,
            style: { "flex-grow": String(Math.max(0.02, phase.elapsed_ms / (total || 1))) },
        })),
        running && el("span", { class: "phase running" }));
    const now = running ? el("span", { class: "phase-name" }, printable(operation.phase ?? (operation.state === "queued" ? "queued" : "…"), 40)) : null;
    return el("div", { class: "progress" }, bar, now);
}

function problem(error) {
    if (!error) return null;
    return el("details", { class: "problem" },
        el("summary", {}, el("bdi", {}, printable(error.detail, 160))),
        error.detail.length > 160 && el("p", {}, el("bdi", {}, printable(error.detail, 2000))),
        error.hint && el("p", { class: "hint" }, el("bdi", {}, printable(error.hint, 1000))),
        error.cause && el("p", { class: "cause" }, el("bdi", {}, printable(error.cause, 4000))),
        el("p", { class: "faint" }, printable(error.code, 60)));
}

export class Tables {
    #model;
    #actions;
    #shown = {};

    constructor(model, actions) {
        this.#model = model;
        this.#actions = actions;
        for (const list of ["operations", "instances", "leases", "checkpoints"]) {
            this.#shown[list] = FIRST;
            byId(`more-${list}`).addEventListener("click", () => this.#more(list));
        }
    }

    #more(list) {
        this.#shown[list] += STEP;
        const { items, more } = this.#model.lists[list];
        if (more && this.#shown[list] > items.length) this.#model.more(list);
        this.render(list, this.filter);
    }

    render(list, filter) {
        this.filter = filter;
        const { items, more } = this.#model.lists[list];
        const matching = filter ? items.filter((item) => item.template === filter) : items;
        const rows = matching.slice(0, this.#shown[list]);
        const body = byId(list);
        const role = this.#model.who.role;
        if (rows.length === 0) {
            reconcile(body, [list], { key: () => "", signature: () => "empty", make: () => this.#nothing(list) });
        } else {
            reconcile(body, rows, {
                key: (item) => item.id,
                signature: (item) => role + JSON.stringify(item),
                make: (item) => this[`_${list}`](item),
            });
        }
        setText(byId(`n-${list}`), `${matching.length}${more ? "+" : ""}`);
        byId(`more-${list}`).hidden = rows.length >= matching.length && !more;
    }

    #nothing(list) {
        const words = {
            operations: "Nothing has been asked for yet.",
            instances: "No instance lives. Restore a checkpoint, or raise min_idle of a pool.",
            leases: "No lease is active.",
            checkpoints: "No checkpoint yet. Make one with “Warm + checkpoint” of a pool above.",
        };
        return el("tr", {}, el("td", { class: "nothing", colspan: "7" }, words[list]));
    }

    _operations(operation) {
        const live = !FINAL.has(operation.state);
        const took = operation.started_at && operation.finished_at
            ? span(Date.parse(operation.finished_at) - Date.parse(operation.started_at))
            : operation.started_at ? since(operation.started_at) : "–";
        return el("tr", { class: live ? "live" : null },
            td("Operation", {}, el("strong", {}, printable(operation.kind.replace("_", " "), 40)), " ", id(operation.id), problem(operation.error)),
            td("Template", {}, name(operation.template)),
            td("State", {}, badge(operation.state)),
            td("Progress", { class: "grow" }, progress(operation)),
            td("Took", { class: "num" }, took),
            td("Begun", { class: "num" }, since(operation.created_at)),
            td("", { class: "acts" }, live && this.#actions.button({
                label: "Cancel", what: operation.id, role: "admin", method: "DELETE", path: `/v1/operations/${encodeURIComponent(operation.id)}`, list: "operations",
                ask: { title: `Cancel this ${operation.kind.replace("_", " ")}?`, text: `${operation.id} stops and cleans up what it has made so far.`, yes: "Cancel the operation", no: "Let it run" },
            })));
    }

    _instances(instance) {
        const path = `/v1/instances/${encodeURIComponent(instance.id)}`;
        const idle = instance.state === "idle";
        return el("tr", {},
            td("Instance", {}, id(instance.id), note(instance.reason)),
            td("Template", {}, name(instance.template)),
            td("State", {}, badge(instance.state)),
            td("Made by", {}, `${printable(instance.origin, 20)} · ${printable(instance.path, 20)}`, instance.pooled && el("span", { class: "tag" }, "pool")),
            td("Age", { class: "num" }, since(instance.created_at)),
            td("", { class: "acts" },
                idle && this.#actions.button({
                    label: "Checkpoint", what: instance.id, role: "admin", path: `${path}/checkpoint`, list: "instances",
                    ask: { title: "Checkpoint this instance?", text: `${instance.id} becomes a checkpoint of ${instance.template} and ends.`, yes: "Checkpoint it" },
                }),
                idle && this.#actions.button({
                    label: "Terminate", what: instance.id, role: "admin", method: "DELETE", path, list: "instances",
                    ask: { title: "Terminate this instance?", text: `${instance.id} of ${instance.template} and its files go; commands in it are killed.`, yes: "Terminate it" },
                })));
    }

    _leases(lease) {
        return el("tr", {},
            td("Lease", {}, id(lease.id), el("span", { class: "faint sub" }, id(lease.instance))),
            td("Template", {}, name(lease.template), el("span", { class: "faint sub" }, `${printable(lease.path, 20)}, ${span(lease.elapsed_ms)}`)),
            td("Age", { class: "num" }, since(lease.created_at)),
            td("Ends in", {}, until(lease.expires_at), el("span", { class: "faint" }, ` of ${printable(lease.ttl, 12)}`), remaining(lease.expires_at, parseDuration(lease.ttl))),
            td("", { class: "acts" }, this.#actions.button({
                label: "Release", what: lease.id, role: "exec", method: "DELETE", path: `/v1/leases/${encodeURIComponent(lease.id)}`, list: "leases",
                ask: { title: "Release this lease?", text: `Whoever holds ${lease.id} loses ${lease.instance}: it is destroyed with what runs in it.`, yes: "Release it" },
            })));
    }

    _checkpoints(checkpoint) {
        const path = `/v1/checkpoints/${encodeURIComponent(checkpoint.id)}`;
        const about = ["criu", "podman", "kernel"].filter((key) => checkpoint.environment[key]).map((key) => `${key} ${checkpoint.environment[key]}`).join(" · ");
        return el("tr", {},
            td("Checkpoint", {}, id(checkpoint.id), about && el("span", { class: "faint sub" }, el("bdi", {}, printable(about, 100))), note(checkpoint.reason, true)),
            td("Template", {}, name(checkpoint.template)),
            td("State", {}, badge(checkpoint.state), checkpoint.pinned && el("span", { class: "tag" }, "pinned")),
            td("Size", { class: "num" }, checkpoint.size_bytes ? bytes(checkpoint.size_bytes) : "–"),
            td("Age", { class: "num" }, since(checkpoint.created_at)),
            td("", { class: "acts" },
                checkpoint.state === "available" && this.#actions.button({ label: "Restore", what: checkpoint.id, role: "admin", path: `${path}/restore` }),
                !checkpoint.pinned && ["available", "failed", "quarantined"].includes(checkpoint.state) && this.#actions.button({
                    label: "Delete", what: checkpoint.id, role: "admin", method: "DELETE", path, list: "checkpoints",
                    ask: { title: "Delete this checkpoint?", text: `${checkpoint.id} of ${checkpoint.template}${checkpoint.size_bytes ? `, ${bytes(checkpoint.size_bytes)},` : ""} cannot be brought back. Instances restored from it live on.`, yes: "Delete it" },
                })));
    }
}
