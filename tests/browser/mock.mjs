// warmd as the test plays it: the agreed API over data that a test sets, so that every state can be shown.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { headers, types } from "./expected.mjs";

const WEB = new URL("../../api/web/", import.meta.url);
const VENDOR = new URL("vendor/uplot/", WEB);

function webFiles() {
    const files = new Map();
    for (const folder of [WEB, VENDOR]) {
        for (const name of readdirSync(folder)) {
            const type = types[name.split(".").at(-1)];
            if (!type) continue;
            const bytes = readFileSync(new URL(name, folder));
            files.set(name, { bytes, type, etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"` });
        }
    }
    return files;
}

export const hostile = {
    markup: `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>`,
    bidi: "evil\u202egpj.exe\u2066\u0007\u200b",
    long: "A very long reason ".repeat(550), // 10 kB
};

const iso = (ms) => new Date(ms).toISOString();

/** A day in the life of a build machine, told from `now` backwards. */
export function scene(now) {
    const ago = (s) => iso(now - s * 1000);
    let seed = 7;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647; // the same each time
    const id = (prefix, n) => `${prefix}-1kg3m${n.toString(36).padStart(11, "0")}`;
    const phase = (name, start, ms) => ({ name, started_at: iso(start), elapsed_ms: Math.round(ms * 10) / 10 });
    const chain = (start, parts) => parts.map(([name, ms]) => {
        const made = phase(name, start, ms);
        start += ms;
        return made;
    });
    const operation = (n, kind, template, begun, parts, more = {}) => {
        const start = now - begun * 1000;
        const phases = chain(start + 4, parts);
        const end = start + 6 + parts.reduce((sum, [, ms]) => sum + ms, 0);
        return {
            id: id("op", n), kind, state: "succeeded", template, instance: id("inst", n), checkpoint: kind === "warm" ? null : id("ckpt", n % 5),
            phase: null, phases, created_at: iso(start), started_at: iso(start + 2), finished_at: iso(end), error: null, ...more,
        };
    };
    const templates = ["matlab", "octave", "python", "r-base"];
    const operations = [
        operation(900, "restore", "matlab", 1, [["unpack", 310]], { state: "running", phase: "restore", finished_at: null }),
        operation(899, "checkpoint", "octave", 9, [["create", 180], ["start", 240], ["init", 3100]], { state: "running", phase: "export", finished_at: null }),
        operation(898, "terminate", "python", 0.2, [], { state: "queued", started_at: null, finished_at: null }),
        operation(897, "warm", "r-base", 340, [["create", 170], ["start", 220], ["init", 60012]], {
            state: "failed",
            error: { code: "not_ready", detail: "init did not end in time", hint: "raise warm.initialised.timeout in the template, or mend its condition", cause: "the application's session has not answered; the container runs; its last words: Error in library(dplyr)" },
        }),
    ];
    for (let n = 0; n < 46; ++n) {
        const template = templates[n % 3];
        const slow = template === "matlab" ? 2.1 : 1;
        operations.push(operation(800 - n, "restore", template, 60 + n * 410 + random() * 200, [
            ...(n % 9 === 0 ? [["unpack", 280 * slow + random() * 90]] : []),
            ["restore", (240 + random() * 80 + (n === 17 ? 420 : 0)) * slow], ["verify", 6 + random() * 5], ...(template === "matlab" ? [["after_restore", 22 + random() * 14]] : [])]));
        if (n % 4 === 0) {
            operations.push(operation(600 - n, n % 8 === 0 ? "checkpoint" : "warm", template, 90 + n * 420, [
                ["create", 180 + random() * 30], ["start", 230 + random() * 60], ["init", 1830 * slow + random() * 700], ["ready", 210 + random() * 25],
                ...(n % 8 === 0 ? [["export", 1400 * slow + random() * 300], ["publish", 90 + random() * 60], ["remove", 120]] : [])]));
        }
    }
    operations.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    const instance = (n, template, state, age, more = {}) => ({
        id: id("inst", n), template, state, reason: null, origin: "restore", path: "linked", pooled: true, checkpoint: id("ckpt", 1), container: "4f".repeat(32),
        container_name: `warmd-${id("inst", n)}`, agent_socket: "/run/warm/agent.sock", created_at: ago(age), terminated_at: null, phases: [], ...more,
    });
    const instances = [
        instance(20, "matlab", "restoring", 1), instance(19, "matlab", "leased", 95), instance(18, "matlab", "leased", 340), instance(17, "matlab", "idle", 610),
        instance(16, "octave", "idle", 35), instance(15, "octave", "idle", 900), instance(14, "octave", "draining", 4000, { reason: "its lease was released" }),
        instance(13, "octave", "leased", 4200, { path: "archive" }), instance(12, "python", "idle", 7300), instance(11, "r-base", "warming", 12, { origin: "warm", path: "cold", pooled: false }),
        instance(10, "python", "idle", 90000, { origin: "warm", path: "cold", pooled: false }),
    ];
    const lease = (n, template, inst, age, ttl, left, path, elapsed) => ({
        id: id("lease", n), template, instance: id("inst", inst), state: "active", path, ttl, created_at: ago(age), expires_at: iso(now + left * 1000), ended_at: null, elapsed_ms: elapsed,
    });
    const leases = [lease(3, "matlab", 19, 95, "5m", 205, "pool", 4.4), lease(2, "matlab", 18, 340, "10m", 260, "pool", 3.9), lease(1, "octave", 13, 4200, "1m", 9, "linked", 293.4)];
    const checkpoint = (n, template, state, age, size, reason = null) => ({
        id: id("ckpt", n), template, template_digest: "5f".repeat(32), state, reason, source: id("inst", n), image: `localhost/warmd/${template}:latest`, image_id: "7c".repeat(32), agent_socket: "/run/warm/agent.sock",
        size_bytes: size, sha256: size ? "0a".repeat(32) : null, created_at: ago(age), available_at: size ? ago(age - 2) : null, verified_at: null, phases: [],
        environment: { architecture: "amd64", criu: "4.1", kernel: "6.12.48-amd64", podman: "5.4.2", runtime: "crun" }, statistics: {},
    });
    const checkpoints = [
        checkpoint(5, "octave", "dumping", 6, 0), checkpoint(4, "matlab", "available", 4100, 1_912_602_624), checkpoint(3, "octave", "available", 9000, 91_750_400),
        checkpoint(2, "python", "available", 86_000, 48_234_496), checkpoint(1, "octave", "available", 240_000, 90_112_000),
        checkpoint(0, "matlab", "quarantined", 700_000, 1_887_436_800, "the tarball has 1887436288 bytes, 1887436800 are recorded"),
    ];
    const pool = (template, numbers, more = {}) => ({
        template, min_idle: 2, max_size: 8, idle_ttl: "10m", max_lifetime: "24h", frozen: false, checkpoint: checkpoints.find((each) => each.template === template && each.state === "available")?.id ?? null,
        idle: 0, leased: 0, filling: 0, draining: 0, waiting: 0, held_back: null, ...numbers, ...more,
    });
    const pools = [
        pool("matlab", { idle: 1, leased: 2, filling: 1, waiting: 1 }), pool("octave", { idle: 2, leased: 1, draining: 1 }), pool("python", { idle: 1, min_idle: 1, max_size: 64 }),
        pool("r-base", { min_idle: 1, max_size: 4 }, { held_back: "no checkpoint of the template as it is now: make one with `warmctl checkpoint r-base`" }),
    ];
    const events = [];
    for (let n = 0; n < 24; ++n) {
        const kinds = [["instance", "inst", "idle"], ["operation", "op", "succeeded"], ["lease", "lease", "active"], ["instance", "inst", "leased"], ["lease", "lease", "released"], ["instance", "inst", "terminated"]];
        const [kind, prefix, state] = kinds[n % kinds.length];
        events.push({ id: 101 + n, at: ago(340 - n * 14), kind, subject: id(prefix, 20 + n), template: templates[n % 3], state, reason: state === "terminated" ? "its lease was released" : "" });
    }
    return { who: { role: "admin", name: "uid 1000 (builder)", via: "socket" }, token: null, ready: null, started_at: ago(183_000), version: "0.1.0", operations, instances, leases, checkpoints, pools, events };
}

export class Mock {
    requests = []; // of everything but files: {method, path, headers}
    refuse = new Map(); // "METHOD path": {status, problem}
    kept = 1; // the oldest event that can be resumed from
    #streams = new Set();
    #down = false;

    constructor(data) {
        this.data = data;
        this.files = webFiles();
    }

    async start() {
        this.server = createServer((request, response) => this.#answer(request, response));
        await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
        this.url = `http://127.0.0.1:${this.server.address().port}`;
    }

    stop() {
        this.server.closeAllConnections();
        this.server.close();
    }

    get newest() {
        return this.data.events.at(-1)?.id ?? 0;
    }
    get following() {
        return this.#streams.size;
    }

    /** Tells what has changed. `event`: kind, subject, template, state, reason. */
    change(event) {
        const full = { id: this.newest + 1, at: new Date().toISOString(), reason: "", ...event };
        this.data.events.push(full);
        for (const stream of this.#streams) stream.write(this.#frame(full));
        return full.id;
    }

    progress(operation, phase) {
        const data = { operation: operation.id, kind: operation.kind, template: operation.template, phase, at: new Date().toISOString() };
        for (const stream of this.#streams) stream.write(`event: progress\ndata: ${JSON.stringify(data)}\n\n`);
    }

    /** Cuts every stream; until `up`, nothing is answered. */
    down() {
        this.#down = true;
        this.server.closeAllConnections();
        this.#streams.clear();
    }
    up() {
        this.#down = false;
    }

    #frame(event) {
        return `id: ${event.id}\nevent: change\ndata: ${JSON.stringify(event)}\n\n`;
    }

    #send(response, status, body, more = {}) {
        const text = `${JSON.stringify(body)}\n`;
        const etag = `"${createHash("sha256").update(text).digest("hex").slice(0, 32)}"`;
        const problem = status >= 400;
        const type = problem ? "application/problem+json" : "application/json";
        if (status === 200 && response.req.method === "GET") {
            if (response.req.headers["if-none-match"] === etag) {
                response.writeHead(304, { ETag: etag, "Cache-Control": "no-cache" }).end();
                return;
            }
            more = { ...more, ETag: etag };
        }
        response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "X-Request-Id": "req-1kg3m9b6g0k4p8s2", ...more }).end(text);
    }

    #problem(response, status, code, detail, more = {}) {
        this.#send(response, status, { type: `urn:warmd:problem:${code}`, title: code, status, code, detail, request_id: "req-1kg3m9b6g0k4p8s2", ...more });
    }

    #file(request, response, name) {
        const file = this.files.get(name);
        if (!file) return this.#problem(response, 404, "not_found", "the dashboard has no such file");
        const all = { ...headers, "Content-Type": file.type, ETag: file.etag };
        if (request.headers["if-none-match"] === file.etag) return response.writeHead(304, all).end();
        return response.writeHead(200, all).end(file.bytes);
    }

    #answer(request, response) {
        if (this.#down) return request.socket.destroy();
        const url = new URL(request.url, this.url);
        const path = url.pathname;
        if (path === "/") return this.#file(request, response, "index.html");
        if (path.startsWith("/web/")) return this.#file(request, response, path.slice(5));
        this.requests.push({ method: request.method, path: request.url, headers: request.headers });
        const { data } = this;
        const known = data.token === null || request.headers.authorization === `Bearer ${data.token}`;
        if (path === "/v1/whoami") return this.#send(response, 200, known ? data.who : { role: "none", name: "", via: "tcp" });
        if (!known) return this.#problem(response, 401, "unauthenticated", "this needs a token", { hint: "send Authorization: Bearer TOKEN" });
        const refused = this.refuse.get(`${request.method} ${path}`);
        if (refused) return this.#problem(response, refused.status, refused.code, refused.detail, refused);
        if (request.method !== "GET") return this.#act(request, response, path);
        if (path === "/readyz") return data.ready ? this.#problem(response, 503, "unavailable", data.ready.detail, data.ready) : this.#send(response, 200, { status: "ok" });
        if (path === "/v1/events") return this.#events(request, response, url);
        if (path === "/v1/status") return this.#send(response, 200, this.#status());
        const list = data[path.slice(4)];
        if (!Array.isArray(list)) return this.#problem(response, 404, "not_found", `no resource ${path}`);
        const limit = Number(url.searchParams.get("limit") ?? 100);
        return this.#send(response, 200, { items: list.slice(0, limit), next_cursor: list.length > limit ? list[limit - 1].id : null });
    }

    #status() {
        const { data } = this;
        const available = data.checkpoints.filter((each) => each.state === "available");
        return {
            version: data.version, started_at: data.started_at, recovered: true, templates: data.pools.length,
            operations: { active: data.operations.filter((each) => each.finished_at === null).length }, instances: { live: data.instances.length }, leases: { active: data.leases.length },
            pools: data.pools, checkpoints: { available: available.length, bytes: available.reduce((sum, each) => sum + each.size_bytes, 0) },
            catalog: { rebuilt_checkpoints: 0, damaged_file: null },
            store: { free_bytes: 52_428_800_000, total_bytes: 120_000_000_000, unpacked_bytes: 2_147_483_648 }, last_event: this.newest,
        };
    }

    #events(request, response, url) {
        const text = request.headers["last-event-id"] ?? url.searchParams.get("after");
        response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        response.write("retry: 200\n\n");
        if (text === null) {
            response.write(`id: ${this.newest}\nevent: hello\ndata: {"newest":${this.newest}}\n\n`);
        } else if (Number(text) < this.kept - 1 || Number(text) > this.newest) {
            response.write(`event: reset\ndata: {"oldest":${this.kept},"newest":${this.newest}}\n\n`);
        } else {
            for (const event of this.data.events) if (event.id > Number(text)) response.write(this.#frame(event));
        }
        this.#streams.add(response);
        response.on("close", () => this.#streams.delete(response));
    }

    #act(request, response, path) {
        const [, , collection, id, verb] = path.split("/");
        if (collection === "leases") {
            this.data.leases = this.data.leases.filter((each) => each.id !== id);
            this.change({ kind: "lease", subject: id, template: "matlab", state: "released" });
            return this.#send(response, 200, { id, state: "released" });
        }
        const kinds = { "POST warm": "warm", "POST checkpoints": "checkpoint", "POST checkpoint": "checkpoint", "POST restore": "restore" };
        const kind = request.method === "DELETE" ? { instances: "terminate", checkpoints: "delete_checkpoint" }[collection] : kinds[`POST ${verb}`];
        let operation = this.data.operations.find((each) => each.id === id);
        if (!operation) {
            const now = new Date().toISOString();
            operation = { id: `op-1kg3mnew${this.data.operations.length}`, kind, state: "queued", template: collection === "templates" ? decodeURIComponent(id) : "octave", instance: null, checkpoint: null, phase: null, phases: [], created_at: now, started_at: null, finished_at: null, error: null };
            this.data.operations.unshift(operation);
        }
        this.change({ kind: "operation", subject: operation.id, template: operation.template, state: operation.state });
        return this.#send(response, 202, operation, { Location: `/v1/operations/${operation.id}` });
    }
}

// By hand: node mock.mjs, and look at what it prints.
if (process.argv[1]?.endsWith("mock.mjs")) {
    const mock = new Mock(scene(Date.now()));
    await mock.start();
    console.log(mock.url);
}
