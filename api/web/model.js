// What the page knows: documents of the API, kept current by events.
import { EventStream } from "./events.js";

const FEED = 200; // events kept for the eye
const HISTORY = 60; // events asked for at the beginning
const SETTLE_MS = 200; // changes come in bursts
const READY_EVERY_MS = 30_000;

const LISTS = { instances: "instance", leases: "lease", operations: "operation", checkpoints: "checkpoint" };
const LIMIT_MOST = 1000;

export class Model {
    who = { role: "none", name: "", via: "" };
    status = null;
    ready = null; // {ok, detail, hint}
    connection = { state: "connecting", wait: 0 };
    lists = {};
    feed = [];

    #api;
    #changed;
    #denied;
    #stream = null;
    #dirty = new Set();
    #timer = null;
    #busy = false;
    #readyTimer = null;
    #base = 0;
    #generation = 0;

    /** `changed(what)` after each change, `denied(error)` when the token is no longer good. */
    constructor(api, changed, denied) {
        this.#api = api;
        this.#changed = changed;
        this.#denied = denied;
        this.#clear();
    }

    #clear() {
        for (const name of Object.keys(LISTS)) {
            this.lists[name] = { items: [], more: false, limit: name === "operations" ? 200 : 100 };
        }
        this.feed = [];
        this.status = null;
        this.ready = null;
    }

    /** Reads everything, then follows. Throws ApiError. */
    async start() {
        this.stop();
        const generation = this.#generation;
        this.status = await this.#api.get("/v1/status");
        this.#base = this.status.last_event;
        await Promise.all(Object.keys(LISTS).map((name) => this.#load(name)));
        if (generation !== this.#generation) return;
        this.#changed("all");
        this.#stream = new EventStream(this.#api, Math.max(0, this.#base - HISTORY), {
            state: (state, wait) => this.#connected(state, wait),
            event: (name, document) => this.#happened(name, document),
            denied: (error) => this.#denied(error),
        });
        this.#stream.start();
        this.#checkReady();
    }

    stop() {
        ++this.#generation;
        this.#stream?.stop();
        this.#stream = null;
        clearTimeout(this.#timer);
        clearTimeout(this.#readyTimer);
        this.#timer = null;
        this.#dirty.clear();
        this.#clear();
    }

    pause() {
        this.#stream?.pause();
    }
    wake() {
        this.#stream?.wake();
    }

    more(name) {
        const list = this.lists[name];
        list.limit = Math.min(LIMIT_MOST, list.limit * 2);
        this.refresh([name]);
    }

    /** An operation as an answer has it: shown before its event comes. */
    putOperation(operation) {
        const { items } = this.lists.operations;
        const at = items.findIndex((each) => each.id === operation.id);
        if (at < 0) items.unshift(operation);
        else items[at] = operation;
        this.#changed("operations");
    }

    refresh(names) {
        for (const name of names) this.#dirty.add(name);
        if (this.#timer === null) this.#timer = setTimeout(() => this.#flush(), SETTLE_MS);
    }

    async #flush() {
        this.#timer = null;
        if (this.#busy) return; // whoever is busy looks again at its end
        this.#busy = true;
        const generation = this.#generation;
        const names = [...this.#dirty];
        this.#dirty.clear();
        let wait = SETTLE_MS;
        try {
            await Promise.all(names.map((name) => this.#load(name)));
            if (generation === this.#generation) for (const name of names) this.#changed(name);
        } catch (error) {
            if (generation === this.#generation) {
                if (error.denied) this.#denied(error);
                for (const name of names) this.#dirty.add(name);
                wait = 2000;
            }
        }
        this.#busy = false;
        if (this.#dirty.size && this.#timer === null) this.#timer = setTimeout(() => this.#flush(), wait);
    }

    async #load(name) {
        const generation = this.#generation;
        if (name === "status") {
            const status = await this.#api.get("/v1/status");
            if (generation === this.#generation) this.status = status;
            return;
        }
        const list = this.lists[name];
        const page = await this.#api.get(`/v1/${name}?limit=${list.limit}`);
        if (generation !== this.#generation) return;
        list.items = [...page.items];
        list.more = page.next_cursor !== null && list.limit < LIMIT_MOST;
    }

    async #checkReady() {
        clearTimeout(this.#readyTimer);
        const generation = this.#generation;
        let ready;
        try {
            await this.#api.get("/readyz");
            ready = { ok: true, detail: "", hint: "" };
        } catch (error) {
            ready = { ok: false, detail: error.message, hint: error.hint };
        }
        if (generation !== this.#generation) return;
        this.ready = ready;
        this.#changed("status");
        this.#readyTimer = setTimeout(() => {
            this.refresh(["status"]); // free space moves without an event
            this.#checkReady();
        }, READY_EVERY_MS);
    }

    #connected(state, wait) {
        const back = state === "live" && this.connection.state === "reconnecting";
        this.connection = { state, wait, at: Date.now() };
        this.#changed("connection");
        if (back) {
            this.refresh(["status"]);
            this.#checkReady();
        }
    }

    #happened(name, document) {
        if (name === "change") {
            this.feed.unshift(document);
            this.feed.length = Math.min(FEED, this.feed.length);
            this.#changed("feed");
            if (document.id <= this.#base) return; // the documents have it already
            const list = Object.keys(LISTS).find((each) => LISTS[each] === document.kind);
            this.refresh(list ? [list, "status"] : ["status"]);
        } else if (name === "progress") {
            const operation = this.lists.operations.items.find((each) => each.id === document.operation);
            if (!operation) {
                this.refresh(["operations"]);
                return;
            }
            this.putOperation({ ...operation, phase: document.phase || null });
            if (!document.phase) this.refresh(["operations"]); // a phase has ended: its time is known now
        } else if (name === "reset") {
            this.#base = document.newest;
            this.refresh([...Object.keys(LISTS), "status"]);
        }
    }
}
