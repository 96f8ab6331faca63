// Phases have one colour everywhere: in bars, plots and legends. The colours themselves are in style.css.
const ORDER = ["create", "start", "init", "ready", "before_checkpoint", "export", "publish", "unpack", "restore", "verify", "after_restore", "remove", "check", "read", "canary"];
const COLOURS = 8;

/** 0 to 7 for those that are known (neighbours differ), by the name's characters for others. */
export function colourOf(phase) {
    const at = ORDER.indexOf(phase);
    if (at >= 0) return at % COLOURS;
    return [...phase].reduce((sum, c) => sum + c.codePointAt(0), 0) % COLOURS;
}

export function byOrder(a, b) {
    const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
    return place(a) - place(b) || (a < b ? -1 : 1);
}

/** The stylesheet's value of a variable, for the canvas. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
