// The dashboard in a real browser: node dashboard_test.mjs [--shots DIR] [--only WORDS] [--fake-warmd PROGRAM]
// Against a mock, in every state; with --fake-warmd also against warmd's own API. Exits with 77 where there is no Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { headers, types } from "./expected.mjs";
import { hostile, Mock, scene } from "./mock.mjs";

const { values: options } = parseArgs({ options: { shots: { type: "string" }, only: { type: "string" }, "fake-warmd": { type: "string" } } });

function skip(why) {
    console.log(`browser: skipped: ${why}`);
    process.exit(77);
}
const program = [process.env.CHROMIUM, "/usr/bin/chromium"].find((each) => each && existsSync(each)) ?? skip("there is no /usr/bin/chromium");
const require = createRequire(import.meta.url);
const { chromium } = await import("playwright-core").catch(() => skip("playwright-core is missing: npm ci in tests/browser"));
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: program, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
if (options.shots) mkdirSync(options.shots, { recursive: true });

/** A page that notices what must not happen: violations of the policy, errors, requests to elsewhere. */
class Watched {
    wrong = [];

    static async open(url, { colorScheme = "light", width = 1440, height = 1000, expectErrors = false, ...more } = {}) {
        const watched = new Watched();
        watched.context = await browser.newContext({ colorScheme, viewport: { width, height }, ...more });
        const page = (watched.page = await watched.context.newPage());
        page.setDefaultTimeout(15_000);
        const origin = new URL(url).origin;
        page.on("pageerror", (error) => watched.wrong.push(`exception: ${error.stack}`));
        page.on("console", (message) => {
            const text = message.text();
            if (/Content Security Policy/i.test(text)) watched.wrong.push(text);
            else if (message.type() === "error" && !(expectErrors && /Failed to load resource|ERR_/.test(text))) watched.wrong.push(`console: ${text}`);
        });
        page.on("request", (request) => {
            if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) watched.wrong.push(`left the origin: ${request.url()}`);
        });
        await page.addInitScript(() => {
            window.violations = [];
            document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
        });
        await page.goto(url);
        return watched;
    }

    async shot(name, fullPage = true) {
        if (options.shots) await this.page.screenshot({ path: join(options.shots, `${name}.png`), fullPage });
    }

    async axe(what) {
        // By the debugger, not by a script element: the page's policy holds.
        await this.page.evaluate(axe);
        const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        const bad = violations.filter((each) => ["serious", "critical"].includes(each.impact))
            .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join("\n")}`);
        assert.deepEqual(bad, [], what);
    }

    async close() {
        const violations = await this.page.evaluate(() => window.violations);
        await this.context.close();
        assert.deepEqual([...violations, ...this.wrong], []);
    }
}

const state = (page, name) => page.waitForSelector(`#connection[data-state="${name}"]`);
const rows = (page, list) => page.locator(`#${list} tr`);
async function until(what, condition) {
    const end = Date.now() + 15_000;
    while (!(await condition())) {
        assert.ok(Date.now() < end, `in vain: ${what}`);
        await new Promise((resolve) => setImmediate(resolve));
    }
}

const checks = [];
const check = (name, body) => checks.push({ name, body });
/** With a mock of its own. */
const mocked = (name, change, body, open = {}) => check(name, async () => {
    const data = scene(Date.now());
    change(data);
    const mock = new Mock(data);
    await mock.start();
    try {
        const watched = await Watched.open(mock.url, open);
        try {
            await body({ mock, data, watched, page: watched.page });
            await watched.close();
        } finally {
            await watched.context.close();
        }
    } finally {
        mock.stop();
    }
});
const asItIs = () => {};

check("the vendored files are those of their README", () => {
    const folder = new URL("../../api/web/vendor/uplot/", import.meta.url);
    const sums = [...readFileSync(new URL("README.md", folder), "utf8").matchAll(/`(\S+)` \| `([0-9a-f]{64})`/g)];
    assert.equal(sums.length, 2);
    for (const [, name, sum] of sums) assert.equal(createHash("sha256").update(readFileSync(new URL(name, folder))).digest("hex"), sum, name);
});

mocked("every section shows its data", asItIs, async ({ data, page, watched }) => {
    await state(page, "live");
    await page.locator("#tile-ready", { hasText: "Ready" }).waitFor();
    assert.equal(await page.locator("#pools .card").count(), data.pools.length);
    assert.equal(await rows(page, "instances").count(), data.instances.length);
    assert.equal(await rows(page, "leases").count(), data.leases.length);
    assert.equal(await rows(page, "checkpoints").count(), data.checkpoints.length);
    assert.equal(await rows(page, "operations").count(), 12);
    assert.match(await rows(page, "checkpoints").nth(1).innerText(), /1\.8 GiB/);
    assert.match(await page.locator("#leases").innerText(), /of 5m/);
    assert.match(await page.locator("#pools").innerText(), /Held back: no checkpoint/);
    assert.equal(await page.locator(".plot canvas").count(), 2);
    assert.equal(await page.locator("#waterfall li").count(), 15);
    assert.match(await page.locator("#stats-restore").innerText(), /after_restore/);
    assert.equal(await page.locator("#events li").count(), data.events.length);
    assert.match(await page.locator("#operations").innerText(), /init did not end in time/);
    await watched.shot("light");
});

mocked("the dark theme", asItIs, async ({ page, watched }) => {
    await state(page, "live");
    await page.locator("#tile-ready", { hasText: "Ready" }).waitFor();
    await watched.axe("dark");
    await watched.shot("dark");
    await page.locator("#theme").click(); // automatic, then light
    assert.equal(await page.evaluate(() => localStorage.getItem("warmd.theme")), "light");
    await page.reload();
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(243, 245, 248)");
}, { colorScheme: "dark" });

mocked("nobody is kept out, light", asItIs, async ({ page, watched }) => {
    await state(page, "live");
    await page.locator("#tile-ready", { hasText: "Ready" }).waitFor();
    await watched.axe("light");
});

mocked("360 pixels are enough", asItIs, async ({ page, watched }) => {
    await state(page, "live");
    await page.locator("#tile-ready", { hasText: "Ready" }).waitFor();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360, "the page scrolls sideways");
    await watched.axe("narrow");
    await watched.shot("narrow");
}, { width: 360, height: 800 });

mocked("not ready, with the reason", (data) => {
    data.ready = { detail: "Podman does not listen on its socket", hint: "start it with `systemctl start podman.socket`" };
}, async ({ page, watched }) => {
    await page.locator("#tile-ready", { hasText: "start it with `systemctl start podman.socket`" }).waitFor();
    await watched.axe("not ready");
    await watched.shot("unready", false);
}, { expectErrors: true });

mocked("an empty daemon says what to do", (data) => {
    Object.assign(data, { operations: [], instances: [], leases: [], checkpoints: [], pools: [], events: [] });
}, async ({ page, watched }) => {
    await state(page, "live");
    await page.getByText("No template yet").waitFor();
    await watched.shot("empty");
});

mocked("changes and progress show by themselves", asItIs, async ({ mock, data, page }) => {
    await state(page, "live");
    data.instances.unshift({ ...data.instances[4], id: "inst-1kg3mfresh" });
    mock.change({ kind: "instance", subject: "inst-1kg3mfresh", template: "octave", state: "idle" });
    await page.locator("#instances code", { hasText: "inst-1kg3mfresh" }).waitFor();
    await page.locator("#events li", { hasText: "inst-1kg3mfresh" }).waitFor();
    mock.progress(data.operations.find((each) => each.state === "running" && each.kind === "restore"), "verify");
    await page.locator("#operations .phase-name", { hasText: "verify" }).waitFor();
});

mocked("a lost connection comes back and misses nothing", asItIs, async ({ mock, data, page, watched }) => {
    await state(page, "live");
    const seen = mock.newest;
    await page.locator("#events li").first().waitFor();
    mock.down();
    await state(page, "reconnecting");
    await page.locator("#tile-ready", { hasText: "No answer" }).waitFor();
    await watched.axe("disconnected");
    await watched.shot("disconnected");
    data.checkpoints.unshift({ ...data.checkpoints[2], id: "ckpt-1kg3mmeanwhile" });
    mock.change({ kind: "checkpoint", subject: "ckpt-1kg3mmeanwhile", template: "octave", state: "available" });
    mock.change({ kind: "lease", subject: "lease-1kg3mmeanwhile", template: "octave", state: "expired" });
    mock.requests.length = 0;
    mock.up();
    await state(page, "live");
    await page.locator("#checkpoints code", { hasText: "ckpt-1kg3mmeanwhile" }).waitFor();
    assert.deepEqual(await page.locator("#events li code").allInnerTexts().then((all) => all.slice(0, 2)), ["lease-1kg3mmeanwhile", "ckpt-1kg3mmeanwhile"]);
    const resumed = mock.requests.find((each) => each.path.startsWith("/v1/events"));
    assert.equal(resumed.path, "/v1/events");
    assert.equal(resumed.headers["last-event-id"], String(seen));
}, { expectErrors: true });

mocked("after a reset everything is read again", asItIs, async ({ mock, data, page }) => {
    await state(page, "live");
    mock.down();
    await state(page, "reconnecting");
    data.events.push({ ...data.events[0], id: 9000 });
    mock.kept = 8000;
    data.leases = [];
    data.instances = data.instances.slice(0, 2);
    mock.up();
    await page.getByText("No lease is active.").waitFor();
    await until("two instances", async () => (await rows(page, "instances").count()) === 2);
    mock.change({ kind: "instance", subject: "inst-1kg3mafter", template: "octave", state: "idle" });
    await page.locator("#events li", { hasText: "inst-1kg3mafter" }).waitFor();
}, { expectErrors: true });

mocked("who may only read is offered no action", (data) => {
    data.who = { role: "read", name: "uid 1001 (guest)", via: "socket" };
}, async ({ page }) => {
    await state(page, "live");
    await page.locator("#pools .card").first().waitFor();
    assert.equal(await page.locator("[data-action]").count(), 0);
    assert.match(await page.locator("#who").innerText(), /guest.*read/);
});

mocked("who may exec can release a lease and no more", (data) => {
    data.who = { role: "exec", name: "uid 1001 (ci)", via: "socket" };
}, async ({ data, mock, page, watched }) => {
    await state(page, "live");
    assert.deepEqual([...new Set(await page.locator("[data-action]").allInnerTexts())], ["Release"]);
    const lease = data.leases[0].id;
    await page.locator("#leases [data-action=Release]").first().click();
    await watched.axe("dialog");
    await watched.shot("dialog", false);
    await page.keyboard.press("Escape");
    assert.equal(mock.requests.filter((each) => each.method !== "GET").length, 0, "Escape refuses");
    await page.locator("#leases [data-action=Release]").first().click();
    await page.locator("#confirm-yes").click();
    await until("the lease has gone", async () => !(await page.locator("#leases").innerText()).includes(lease));
    assert.deepEqual(mock.requests.filter((each) => each.method !== "GET").map((each) => `${each.method} ${each.path}`), [`DELETE /v1/leases/${lease}`]);
});

mocked("an administrator's actions send what they say", asItIs, async ({ data, mock, page }) => {
    await state(page, "live");
    const sent = () => mock.requests.filter((each) => each.method !== "GET");
    const octave = page.locator("#pools .card", { hasText: "octave" });
    const checkpoint = data.checkpoints[1].id;
    const instance = data.instances.find((each) => each.state === "idle").id;
    const operation = data.operations.find((each) => each.state === "running").id;
    await octave.getByRole("button", { name: "Warm octave", exact: true }).click();
    await until("the POST", () => sent().length === 1);
    assert.match(sent()[0].headers["idempotency-key"], /^[0-9a-f]{32}$/);
    await page.locator("#operations code", { hasText: data.operations[0].id }).waitFor();
    await octave.getByRole("button", { name: "Warm + checkpoint octave" }).click();
    await octave.getByRole("button", { name: "Restore octave" }).click();
    await page.getByRole("button", { name: `Restore ${checkpoint}` }).click();
    await until("the POSTs", () => sent().length === 4);
    for (const [button, n] of [[`Delete ${checkpoint}`, 5], [`Checkpoint ${instance}`, 6], [`Terminate ${instance}`, 7], [`Cancel ${operation}`, 8]]) {
        await page.getByRole("button", { name: button }).click();
        await page.locator("#confirm-yes").click();
        await until(button, () => sent().length === n);
    }
    assert.deepEqual(sent().map((each) => `${each.method} ${each.path}`).sort(), [
        "DELETE /v1/operations/" + operation, "DELETE /v1/checkpoints/" + checkpoint, "DELETE /v1/instances/" + instance, `POST /v1/instances/${instance}/checkpoint`,
        `POST /v1/checkpoints/${checkpoint}/restore`, "POST /v1/templates/octave/checkpoints", "POST /v1/templates/octave/restore", "POST /v1/templates/octave/warm",
    ].sort());
});

mocked("a refusal is shown with its hint", asItIs, async ({ mock, page, watched }) => {
    await state(page, "live");
    mock.refuse.set("POST /v1/templates/matlab/restore", { status: 503, code: "busy", detail: "16 operations wait already", hint: "try again later, or raise operations.queue" });
    await page.getByRole("button", { name: "Restore matlab" }).click();
    const alert = page.getByRole("alert").filter({ hasText: "16 operations wait already" });
    await alert.waitFor();
    assert.match(await alert.innerText(), /raise operations\.queue[^]*busy[^]*req-/);
    await watched.axe("error");
    await watched.shot("error", false);
    await alert.getByRole("button").click();
    assert.equal(await alert.count(), 0);
}, { expectErrors: true });

mocked("hostile text stays text", (data) => {
    data.instances[0].reason = hostile.markup;
    data.instances[1].reason = hostile.bidi;
    data.instances[2].reason = hostile.long;
    data.pools[0].template = hostile.markup;
    data.pools[0].held_back = hostile.long;
    data.checkpoints[0].reason = hostile.markup + hostile.bidi;
    data.checkpoints[1].environment.podman = hostile.markup;
    data.who.name = hostile.markup;
    const failed = data.operations.find((each) => each.error);
    Object.assign(failed.error, { detail: hostile.long, hint: hostile.markup, cause: hostile.markup + hostile.bidi });
    Object.assign(data.operations.find((each) => each.kind === "restore" && each.state === "succeeded").phases[0], { name: `"><b>${hostile.bidi}` });
    data.events.at(-1).reason = hostile.markup + hostile.bidi;
    data.events.at(-1).state = hostile.bidi;
}, async ({ mock, page, watched }) => {
    await state(page, "live");
    await page.locator("#pools .card").first().waitFor();
    await page.locator("#events li").first().waitFor();
    mock.change({ kind: "instance", subject: hostile.markup, template: hostile.bidi, state: "idle", reason: hostile.long });
    await until("the event", async () => (await page.locator("#events").innerText()).includes("<img src=x onerror="));
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.locator("img:not([src='/web/icon.svg']), #content script, #content b").count(), 0);
    const text = await page.evaluate(() => document.body.innerText + [...document.querySelectorAll("[title]")].map((node) => node.title).join(""));
    assert.doesNotMatch(text, /[\u202a-\u202e\u2066-\u2069\u0007\u200b]/, "controls are written out");
    assert.match(text, /\\u\{202e\}/);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 1440);
    await watched.axe("hostile");
    await watched.shot("hostile");
});

mocked("over TCP a token is asked for, kept, and forgotten", (data) => {
    data.token = "s3cret";
    data.who = { role: "read", name: "token ci", via: "tcp" };
}, async ({ data, mock, page, watched }) => {
    await page.locator("#sign-in").waitFor();
    await watched.axe("sign-in");
    await watched.shot("sign-in", false);
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("warmd does not know this token").waitFor();
    await page.keyboard.type("s3cret");
    await page.keyboard.press("Enter");
    await state(page, "live");
    assert.equal(mock.requests.find((each) => each.path.startsWith("/v1/events")).headers.authorization, "Bearer s3cret");
    assert.ok(mock.requests.every((each) => !each.path.includes("s3cret")));
    await page.reload();
    await state(page, "live");
    assert.deepEqual(await page.evaluate(() => [Object.values(localStorage), Object.values(sessionStorage), document.cookie]), [[], ["s3cret"], ""]);
    data.token = "another"; // taken back
    mock.change({ kind: "lease", subject: "lease-1", template: "matlab", state: "lost" });
    await page.locator("#sign-in").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
}, { expectErrors: true });

mocked("what keeps the page from beginning is said", asItIs, async ({ mock, page }) => {
    await state(page, "live");
    mock.refuse.set("GET /v1/instances", { status: 500, code: "internal", detail: "the catalog cannot be read", hint: "look at the log" });
    await page.reload();
    await page.getByRole("alert").filter({ hasText: "the catalog cannot be read" }).waitFor();
    mock.refuse.clear();
    await state(page, "live");
}, { expectErrors: true });

mocked("a user of the socket without a role is told so", (data) => {
    data.who = { role: "none", name: "uid 1002 (nobody)", via: "socket" };
}, async ({ page }) => {
    await page.getByText("You have no role here").waitFor();
    assert.equal(await page.locator("#token").isVisible(), false);
});

mocked("the keyboard is enough", asItIs, async ({ mock, page }) => {
    await state(page, "live");
    await page.locator("#pools .card").first().waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.id);
    for (let i = 0; i < 40 && !/^Delete ckpt/.test(await focused()); ++i) {
        await page.keyboard.press("Tab");
        const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.notEqual(ring, "none", `${await focused()} shows no focus`);
    }
    for (let i = 0; i < 160 && !/^Delete ckpt/.test(await focused()); ++i) await page.keyboard.press("Tab");
    const name = await focused();
    assert.match(name, /^Delete ckpt/);
    await page.keyboard.press("Enter");
    await page.locator("#confirm").waitFor();
    assert.equal(await focused(), "confirm-no", "the harmless answer has the focus");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await until("the DELETE", () => mock.requests.some((each) => each.method === "DELETE"));
    assert.equal(mock.requests.find((each) => each.method === "DELETE").path, `/v1/checkpoints/${name.split(" ")[1]}`);
});

mocked("hundreds of rows come page by page, quickly", (data) => {
    const [first] = data.instances;
    data.instances = Array.from({ length: 900 }, (_, n) => ({ ...first, id: `inst-${String(n).padStart(16, "0")}`, state: "idle" }));
}, async ({ mock, page }) => {
    await state(page, "live");
    for (const n of [62, 112, 162, 212]) {
        await page.locator("#more-instances").click();
        await until(`${n} rows`, async () => (await rows(page, "instances").count()) === n);
    }
    const kept = await rows(page, "instances").nth(150).elementHandle();
    mock.change({ kind: "instance", subject: "inst-x", template: "octave", state: "idle" });
    await page.locator("#events li", { hasText: "inst-x" }).waitFor();
    assert.ok(await kept.evaluate((node) => node.isConnected), "a row that has not changed is not made again");
});

mocked("one template at a time", asItIs, async ({ page }) => {
    await state(page, "live");
    await page.locator("#filter").selectOption("matlab");
    await until("one card", async () => (await page.locator("#pools .card").count()) === 1);
    assert.deepEqual([...new Set(await page.locator("#instances .name").allInnerTexts())], ["matlab"]);
});

/** warmd's own API on an engine without containers, on its socket, reached as through `ssh -L`. */
async function withWarmd(body) {
    const directory = mkdtempSync(join(tmpdir(), "warmd-browser-"));
    const socket = join(directory, "warmd.sock");
    mkdirSync(join(directory, "templates.d"));
    writeFileSync(join(directory, "warmd.toml"), `[api]\nsocket = "${socket}"\n[store]\ndirectory = "${join(directory, "store")}"\n`);
    writeFileSync(join(directory, "templates.d/octave.toml"),
        'image = "localhost/x:1"\ncommand = ["sh", "-c", "while :; do sleep 0.05; done"]\n[warm]\nquiet_for = "0s"\n[pool]\nmin_idle = 2\nmax_size = 4\n');
    const daemon = spawn(options["fake-warmd"], ["--config", directory], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    const tunnel = net.createServer((near) => {
        const far = net.connect(socket);
        for (const [from, to] of [[near, far], [far, near]]) from.pipe(to).on("error", () => from.destroy());
    });
    try {
        await new Promise((resolve, reject) => {
            daemon.stdout.once("data", resolve);
            daemon.once("exit", (code) => reject(new Error(`fake-warmd ended with ${code}`)));
        });
        await new Promise((resolve) => tunnel.listen(0, "127.0.0.1", resolve));
        await body(`http://127.0.0.1:${tunnel.address().port}`);
    } finally {
        tunnel.close();
        daemon.kill("SIGTERM");
        await ended;
        rmSync(directory, { recursive: true });
    }
}

if (options["fake-warmd"]) {
    check("warmd serves the files with their headers", () => withWarmd(async (url) => {
        for (const path of ["/", "/web/style.css", "/web/app.js", "/web/uPlot.iife.min.js", "/web/icon.svg"]) {
            const answer = await fetch(url + path);
            assert.equal(answer.status, 200, path);
            for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers.get(name), value, `${path} ${name}`);
            assert.equal(answer.headers.get("content-type"), types[path === "/" ? "html" : path.split(".").at(-1)]);
            const file = path === "/" ? "index.html" : path.slice(5);
            const source = new URL(`../../api/web/${file.startsWith("uPlot") ? "vendor/uplot/" : ""}${file}`, import.meta.url);
            assert.ok(Buffer.from(await answer.arrayBuffer()).equals(readFileSync(source)), path);
            const again = await fetch(url + path, { headers: { "If-None-Match": answer.headers.get("etag") } });
            assert.equal(again.status, 304, path);
        }
        assert.equal((await fetch(`${url}/web/..%2fopenapi.yaml`)).status, 404);
    }));
    check("warmd's own data: warm, checkpoint, restore, terminate", () => withWarmd(async (url) => {
        const watched = await Watched.open(url, { expectErrors: true });
        const { page } = watched;
        await state(page, "live");
        await page.getByRole("button", { name: "Warm + checkpoint octave" }).click();
        await page.locator("#checkpoints .badge[data-state=available]").waitFor();
        await until("the pool is full", async () => (await page.locator("#instances .badge[data-state=idle]").count()) === 2);
        await page.getByRole("button", { name: "Restore octave" }).click();
        await page.locator("#operations tr", { hasText: "restore" }).locator(".badge[data-state=succeeded]").first().waitFor();
        await page.locator("#waterfall li .slice").first().waitFor();
        await page.locator("#instances [data-action=Terminate]").first().click();
        await page.locator("#confirm-yes").click();
        await page.locator("#operations tr", { hasText: "terminate" }).locator(".badge[data-state=succeeded]").first().waitFor();
        await watched.shot("warmd");
        await watched.close();
    }));
}

let failed = 0;
const chosen = checks.filter((each) => !options.only || each.name.includes(options.only));
assert.ok(chosen.length > 0, "no check has such a name");
for (const { name, body } of chosen) {
    const begun = Date.now();
    try {
        await body();
        console.log(`ok    ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
        ++failed;
        console.log(`FAILED ${name}\n${error.stack}`);
    }
}
await browser.close();
console.log(failed ? `browser: ${failed} of ${chosen.length} failed` : `browser: ${chosen.length} checks passed`);
process.exitCode = failed ? 1 : 0;
