// Elements out of data. Text becomes text nodes, never markup.
import { age, full } from "./format.js";

export const byId = (id) => document.getElementById(id);

/** `attributes`: `class`, `on` (listeners by event), `style` (by property), others as they are; null ones are left out. */
export function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === null || value === undefined || value === false) continue;
        if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
        else if (name === "style") for (const [property, v] of Object.entries(value)) node.style.setProperty(property, v);
        else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

export function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `parent` those that `make` makes of `items`, keeping each whose `signature` is as it was, and
 * the focus where it is. `key` tells the items apart.
 */
export function reconcile(parent, items, { key, signature = JSON.stringify, make }) {
    const old = new Map();
    for (const child of parent.children) old.set(child.warmdKey, child);
    const wanted = items.map((item) => {
        const k = key(item);
        const s = signature(item);
        const before = old.get(k);
        if (before?.warmdSignature === s) return before;
        const node = make(item);
        node.warmdKey = k;
        node.warmdSignature = s;
        if (before) {
            const focused = before.contains(document.activeElement) ? document.activeElement.dataset.action : null;
            before.replaceWith(node);
            if (focused) node.querySelector(`[data-action="${focused}"]`)?.focus();
        }
        return node;
    });
    const keep = new Set(wanted);
    for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
    wanted.forEach((node, i) => {
        if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
    });
}

const now = (node) => (node.dataset.until ? Number(node.dataset.until) - Date.now() : Date.now() - Number(node.dataset.since));

/** The time since `time`, kept current by `tick`. */
export function since(time) {
    const node = el("time", { datetime: time, title: full(time), "data-since": Date.parse(time) });
    setText(node, age(now(node)));
    return node;
}

/** The time until `time`, kept current by `tick`. */
export function until(time) {
    const node = el("time", { datetime: time, title: full(time), "data-until": Date.parse(time) });
    setText(node, age(now(node)));
    return node;
}

/** A bar that empties from `total` (ms) to nothing at `time`. */
export function remaining(time, total) {
    const fill = el("span", { class: "remaining-fill", "data-until": Date.parse(time), "data-total": total });
    drain(fill);
    return el("span", { class: "remaining", "aria-hidden": "true" }, fill);
}

function drain(node) {
    const part = Math.max(0, Math.min(1, now(node) / Number(node.dataset.total)));
    node.style.width = `${(part * 100).toFixed(1)}%`;
    node.classList.toggle("low", part < 0.2);
}

/** Once a second: every age and every remaining time on the page. */
export function tick() {
    for (const node of document.querySelectorAll("time[data-since], time[data-until]")) setText(node, age(now(node)));
    for (const node of document.querySelectorAll(".remaining-fill")) drain(node);
}
