// How long phases take: over time as plots with their table, and one by one as a waterfall.
import { byId, el, reconcile, setText } from "./dom.js";
import { count, full, printable, span } from "./format.js";
import { byOrder, colourOf, css } from "./phases.js";

const WATERFALL = 15;

function quantile(sorted, q) {
    return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

const finished = (model, kinds, filter) => model.lists.operations.items.filter((operation) =>
    operation.state === "succeeded" && kinds.includes(operation.kind) && operation.phases.length > 0 && (!filter || operation.template === filter));

class Plot {
    #name;
    #kinds;
    #plot = null;
    #signature = "";
    #hidden = new Set();

    constructor(name, kinds) {
        this.#name = name;
        this.#kinds = kinds;
        // uPlot wants its width in pixels.
        new ResizeObserver(([entry]) => {
            const width = Math.floor(entry.contentRect.width);
            if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: this.#plot.height });
        }).observe(byId(`plot-${name}`));
    }

    render(model, filter, theme) {
        const operations = finished(model, this.#kinds, filter).sort((a, b) => Date.parse(a.finished_at) - Date.parse(b.finished_at));
        const signature = `${theme} ${filter} ${[...this.#hidden]} ${operations.map((each) => each.id)}`;
        if (signature === this.#signature) return;
        this.#signature = signature;
        const phases = [...new Set(operations.flatMap((operation) => operation.phases.map((phase) => phase.name)))].sort(byOrder);
        setText(byId(`n-plot-${this.#name}`), operations.length ? count(operations.length, "operation") : "");
        this.#draw(operations, phases);
        this.#table(operations, phases, () => this.render(model, filter, theme));
    }

    #draw(operations, phases) {
        const place = byId(`plot-${this.#name}`);
        this.#plot?.destroy();
        this.#plot = null;
        place.replaceChildren();
        if (operations.length === 0) {
            place.append(el("p", { class: "nothing" }, "Nothing has been measured yet."));
            return;
        }
        const axis = { stroke: css("--faint"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "11px system-ui, sans-serif" };
        const seconds = (operation, name) => {
            const phase = operation.phases.find((each) => each.name === name);
            return phase ? phase.elapsed_ms / 1000 : null;
        };
        this.#plot = new window.uPlot({
            width: Math.max(200, Math.floor(place.clientWidth)),
            height: 190,
            legend: { show: false },
            cursor: { drag: { x: false, y: false } },
            scales: { y: { range: (_, low, high) => [0, (high ?? 0) > 0 ? high * 1.1 : 1] } },
            axes: [{ ...axis, space: 70 }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : tick < 1 ? `${+(tick * 1000).toPrecision(3)} ms` : `${+tick.toPrecision(3)} s`)) }],
            series: [{}, ...phases.map((name) => ({
                label: printable(name, 40),
                stroke: css(`--c${colourOf(name)}`),
                width: 1.5,
                spanGaps: true,
                show: !this.#hidden.has(name),
                points: { show: true, size: 5, fill: css(`--c${colourOf(name)}`) },
            }))],
        }, [operations.map((operation) => Date.parse(operation.finished_at) / 1000), ...phases.map((name) => operations.map((operation) => seconds(operation, name)))], place);
    }

    #table(operations, phases, again) {
        const place = byId(`stats-${this.#name}`);
        const focused = place.contains(document.activeElement) ? document.activeElement.dataset.phase : null;
        if (phases.length === 0) {
            place.replaceChildren();
            return;
        }
        place.replaceChildren(el("table", { class: "stats" },
            el("thead", {}, el("tr", {}, ["Phase", "Times", "Median", "95 %", "Longest", "Last"].map((text, i) => el("th", { scope: "col", class: i ? "num" : null }, text)))),
            el("tbody", {}, phases.map((name) => {
                const times = operations.flatMap((operation) => operation.phases.filter((phase) => phase.name === name).map((phase) => phase.elapsed_ms));
                const sorted = [...times].sort((a, b) => a - b);
                const button = el("button", { type: "button", class: "series", "aria-pressed": String(!this.#hidden.has(name)), "data-phase": name },
                    el("span", { class: `swatch c${colourOf(name)}`, "aria-hidden": "true" }), printable(name, 40));
                button.addEventListener("click", () => {
                    if (!this.#hidden.delete(name)) this.#hidden.add(name);
                    again();
                });
                return el("tr", {}, el("th", { scope: "row" }, button), [String(times.length), span(quantile(sorted, 0.5)), span(quantile(sorted, 0.95)), span(sorted.at(-1)), span(times.at(-1))].map((text) => el("td", { class: "num" }, text)));
            }))));
        if (focused) [...place.querySelectorAll("button")].find((button) => button.dataset.phase === focused)?.focus();
    }
}

export class Timings {
    #plots = [new Plot("restore", ["restore"]), new Plot("warm", ["warm", "checkpoint"])];

    render(model, filter, theme) {
        for (const plot of this.#plots) plot.render(model, filter, theme);
        renderWaterfall(model, filter);
    }
}

export function renderWaterfall(model, filter) {
    const kind = byId("waterfall-kind").value;
    const operations = finished(model, [kind], filter).slice(0, WATERFALL);
    const begin = (operation) => Date.parse(operation.created_at);
    const longest = Math.max(1, ...operations.map((operation) => Date.parse(operation.finished_at) - begin(operation)));
    if (operations.length === 0) {
        reconcile(byId("waterfall"), [0], { key: () => "", signature: () => "empty", make: () => el("li", { class: "nothing" }, `No ${kind} has succeeded yet.`) });
    } else {
        reconcile(byId("waterfall"), operations, {
            key: (operation) => operation.id,
            signature: (operation) => `${longest} ${operation.id}`,
            make: (operation) => {
                const total = Date.parse(operation.finished_at) - begin(operation);
                const words = operation.phases.map((phase) => `${printable(phase.name, 40)} ${span(phase.elapsed_ms)}`).join(", ");
                const bars = operation.phases.map((phase) => el("span", {
                    class: `slice c${colourOf(phase.name)}`,
                    title: `${printable(phase.name, 40)} ${span(phase.elapsed_ms)}`,
                    style: {
                        left: `${Math.max(0, ((Date.parse(phase.started_at) - begin(operation)) / longest) * 100).toFixed(2)}%`,
                        width: `${((phase.elapsed_ms / longest) * 100).toFixed(2)}%`,
                    },
                }));
                return el("li", { title: `${operation.id}, ${full(operation.created_at)}` },
                    el("span", { class: "fall-name" }, el("bdi", {}, printable(operation.template ?? operation.id, 40))),
                    el("span", { class: "track", role: "img", "aria-label": `${operation.id}: ${words}` }, bars),
                    el("span", { class: "num fall-total" }, span(total)));
            },
        });
    }
    const phases = [...new Set(operations.flatMap((operation) => operation.phases.map((phase) => phase.name)))].sort(byOrder);
    reconcile(byId("waterfall-legend"), phases, {
        key: (name) => name,
        make: (name) => el("span", { class: "legend-item" }, el("span", { class: `swatch c${colourOf(name)}`, "aria-hidden": "true" }), printable(name, 40)),
    });
    setText(byId("waterfall-scale"), operations.length ? `The last ${operations.length}, newest first; the whole width is ${span(longest)}, from the request on.` : "");
}
