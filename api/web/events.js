// Server-sent events over fetch: EventSource can send no token.
import { problemOf } from "./api.js";

const SILENCE_MS = 40_000; // the daemon writes every 15 s
const LONGEST_WAIT_MS = 30_000;

/** Takes text in pieces cut anywhere; calls `emit({id, event, data})` for each event and `retry(ms)`. */
export class SseParser {
    #rest = "";
    #event = { id: null, event: "", data: [] };
    #first = true;

    constructor(emit, retry) {
        this.emit = emit;
        this.retry = retry;
    }

    push(text) {
        this.#rest += text;
        if (this.#first && this.#rest) {
            if (this.#rest.startsWith("\ufeff")) this.#rest = this.#rest.slice(1);
            this.#first = false;
        }
        for (;;) {
            const end = this.#rest.search(/[\r\n]/);
            // A carriage return at the end may be half of a line's end.
            if (end < 0 || (this.#rest[end] === "\r" && end === this.#rest.length - 1)) return;
            const line = this.#rest.slice(0, end);
            this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
            this.#line(line);
        }
    }

    #line(line) {
        if (line === "") {
            const { id, event, data } = this.#event;
            this.#event = { id: null, event: "", data: [] };
            if (data.length) this.emit({ id, event: event || "message", data: data.join("\n") });
            return;
        }
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "data") this.#event.data.push(value);
        else if (field === "event") this.#event.event = value;
        else if (field === "id" && !value.includes("\0")) this.#event.id = value;
        else if (field === "retry" && /^\d+$/.test(value)) this.retry(Number(value));
    }
}

/**
 * Follows /v1/events and comes back after every loss, asking for what it missed. `on.state(name, waitMs)` with name
 * connecting | live | reconnecting | paused; `on.event(name, document)`; `on.denied(error)` ends it.
 */
export class EventStream {
    #api;
    #on;
    #last = null; // the newest id seen
    #after;
    #abort = null;
    #timer = null;
    #attempts = 0;
    #retry = 2000;
    #paused = false;

    /** `after`: the id from which on the first connection tells what has happened. */
    constructor(api, after, on) {
        this.#api = api;
        this.#after = after;
        this.#on = on;
    }

    start() {
        this.#paused = false;
        this.#connect();
    }

    stop() {
        clearTimeout(this.#timer);
        this.#abort?.abort();
        this.#abort = null;
    }

    pause() {
        this.#paused = true;
        this.stop();
        this.#on.state("paused", 0);
    }

    /** At once, whatever it waits for. */
    wake() {
        if (this.#abort && !this.#paused) return;
        clearTimeout(this.#timer);
        this.start();
    }

    async #connect() {
        const abort = new AbortController();
        this.#abort = abort;
        this.#on.state(this.#attempts ? "reconnecting" : "connecting", 0);
        try {
            await this.#follow(abort);
        } catch (error) {
            if (this.#abort !== abort) return;
            if (error.denied || error.status === 403) {
                this.stop();
                this.#on.denied(error);
                return;
            }
        }
        if (this.#abort !== abort) return;
        this.#abort = null;
        const longest = Math.min(LONGEST_WAIT_MS, this.#retry * 2 ** this.#attempts++);
        const wait = longest / 2 + Math.random() * (longest / 2); // apart from all the other dashboards
        this.#on.state("reconnecting", wait);
        this.#timer = setTimeout(() => this.#connect(), wait);
    }

    async #follow(abort) {
        const headers = { Accept: "text/event-stream" };
        if (this.#last !== null) headers["Last-Event-ID"] = String(this.#last);
        const path = this.#last !== null ? "/v1/events" : `/v1/events?after=${this.#after}`;
        let watchdog = setTimeout(() => this.#lose(abort), SILENCE_MS);
        try {
            const response = await this.#api.open(path, { headers, signal: abort.signal });
            if (!response.ok) throw await problemOf(response);
            this.#attempts = 0;
            this.#on.state("live", 0);
            const parser = new SseParser(
                (event) => this.#take(event),
                (ms) => (this.#retry = Math.min(LONGEST_WAIT_MS, Math.max(100, ms))),
            );
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            for (;;) {
                const { done, value } = await reader.read();
                if (done) return;
                clearTimeout(watchdog);
                watchdog = setTimeout(() => this.#lose(abort), SILENCE_MS);
                parser.push(value);
            }
        } finally {
            clearTimeout(watchdog);
            this.#attempts = Math.max(1, this.#attempts);
        }
    }

    // The connection is there and nothing comes: as good as lost.
    #lose(abort) {
        abort.abort();
    }

    #take({ id, event, data }) {
        const document = JSON.parse(data);
        if (event === "reset") this.#last = document.newest;
        else if (id !== null && /^\d+$/.test(id)) this.#last = Math.max(this.#last ?? 0, Number(id));
        this.#on.event(event, document);
    }
}
