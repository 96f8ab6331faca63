// The API over fetch: token, ETags, problem documents.

const TOKEN = "warmd.token";

export class ApiError extends Error {
    /** `problem`: a problem document, or what stands in for one where nothing answered. */
    constructor(status, problem) {
        super(problem.detail);
        this.status = status;
        this.code = problem.code;
        this.hint = problem.hint ?? "";
        this.cause = problem.cause ?? "";
        this.requestId = problem.request_id ?? "";
    }
    get unreachable() {
        return this.status === 0;
    }
    get denied() {
        return this.status === 401;
    }
}

export class Api {
    #kept = new Map(); // by path: {etag, body}

    get token() {
        return sessionStorage.getItem(TOKEN) ?? "";
    }
    set token(value) {
        this.#kept.clear();
        if (value) sessionStorage.setItem(TOKEN, value);
        else sessionStorage.removeItem(TOKEN);
    }

    /** The response of any status; throws ApiError with status 0 where nothing answers, AbortError when aborted. */
    async open(path, { method = "GET", headers = {}, signal } = {}) {
        const all = { ...headers };
        if (this.token) all.Authorization = `Bearer ${this.token}`;
        try {
            return await fetch(path, { method, headers: all, signal, cache: "no-store", credentials: "omit", redirect: "error" });
        } catch (error) {
            if (error.name === "AbortError") throw error;
            throw new ApiError(0, {
                code: "unreachable",
                detail: "warmd does not answer",
                hint: "look at `systemctl status warmd`, and at the tunnel if there is one",
            });
        }
    }

    /** The document at `path`; the very same object as before when it has not changed. */
    async get(path) {
        const kept = this.#kept.get(path);
        const response = await this.open(path, { headers: kept ? { "If-None-Match": kept.etag } : {} });
        if (response.status === 304 && kept) return kept.body;
        if (!response.ok) throw await problemOf(response);
        const body = await response.json();
        const etag = response.headers.get("ETag");
        if (etag) this.#kept.set(path, { etag, body });
        return body;
    }

    /** Starts an action once, however often the request is sent. The answer's document. */
    async start(path) {
        return this.#send("POST", path, { "Idempotency-Key": randomKey() });
    }

    async del(path) {
        return this.#send("DELETE", path, {});
    }

    async #send(method, path, headers) {
        const response = await this.open(path, { method, headers });
        if (!response.ok) throw await problemOf(response);
        return response.status === 204 ? null : response.json();
    }
}

export async function problemOf(response) {
    try {
        const document = await response.json();
        const failed = document.checks?.find((check) => !check.ok); // /readyz
        if (failed) return new ApiError(response.status, { code: "unavailable", detail: failed.reason, hint: failed.hint });
        return new ApiError(response.status, document);
    } catch {
        return new ApiError(response.status, { code: "internal", detail: `the answer was ${response.status}, without a reason` });
    }
}

// Not randomUUID: it is missing where the page came over plain HTTP from another host than localhost.
function randomKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}
