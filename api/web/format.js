// Words for people. Everything that comes from the API passes `printable` before it is shown.

// Controls, and what changes the direction or the look of the text around it.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** `value` as one line of at most `limit` characters, what cannot be seen written out. */
export function printable(value, limit = 300) {
    const text = String(value ?? "");
    const short = text.length > limit ? `${text.slice(0, limit)}…` : text;
    return short.replace(INVISIBLE, (c) =>
        c === "\n" || c === "\t" ? " " : `\\u{${c.codePointAt(0).toString(16)}}`);
}

export function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    let value = n;
    while (value >= 1024 && i < units.length - 1) {
        value /= 1024;
        ++i;
    }
    return `${value >= 100 || i === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[i]}`;
}

/** A time in milliseconds: 4.1 ms, 512 ms, 2.6 s, 3 m 04 s, 5 h 12 m, 3 d. */
export function span(ms) {
    if (ms < 10) return `${Math.max(0, ms).toFixed(1)} ms`;
    if (ms < 1000) return `${ms.toFixed(0)} ms`;
    if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
    return age(ms);
}

/** As `span`, in whole seconds and coarser. */
export function age(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    const pad = (n) => String(n).padStart(2, "0");
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} m ${pad(s % 60)} s`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${pad(Math.floor(s / 60) % 60)} m`;
    return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** Milliseconds of a duration of the API: 250ms, 30s, 5m, 2h. */
export function parseDuration(text) {
    const found = /^(\d+)(ms|s|m|h)$/.exec(text);
    return found ? Number(found[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[found[2]] : 0;
}

export const clock = (time) => new Date(time).toLocaleTimeString(undefined, { hour12: false });
export const full = (time) => new Date(time).toLocaleString(undefined, { hour12: false });

/** "1 lease", "2 leases" */
export const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
