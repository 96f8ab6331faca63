#!/usr/bin/env node
// Requests made from the daemon's own description, valid, nearly valid and hostile, to a fake-warmd that this starts:
//     requests.mjs FAKE_WARMD [COUNT [SEED]]
// Every answer must have a status and a body that /openapi.json allows for its operation; at the end the daemon is alive,
// its numbers are sane, and it stops in order. A failure prints the requests that lead to it and the line that repeats it.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import fc from 'fast-check';

const [program, count = '5000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
if (!program) {
  console.error('usage: requests.mjs FAKE_WARMD [COUNT [SEED]]');
  process.exit(2);
}
const kAtOnce = 24;
const kBatch = 192; // between two looks at what has been seen to fail
const kPatience = 20_000; // milliseconds for one answer

const directory = mkdtempSync(path.join(tmpdir(), 'warmd-generated-'));
const socketPath = path.join(directory, 'api.sock');
const agent = new http.Agent({ keepAlive: true, maxSockets: kAtOnce });

function writeConfiguration() {
  mkdirSync(path.join(directory, 'templates.d'));
  writeFileSync(
    path.join(directory, 'warmd.toml'),
    `[api]\nsocket = "${socketPath}"\n[store]\ndirectory = "${directory}/state"\n[log]\nlevel = "off"\n`,
  );
  const template = (pool) =>
    'image = "localhost/x:1"\ncommand = ["sleep", "infinity"]\n' +
    `[warm]\nquiet_for = "0s"\n[pool]\n${pool}\n`;
  writeFileSync(path.join(directory, 'templates.d', 'pooled.toml'), template('min_idle = 2\nmax_size = 4'));
  writeFileSync(path.join(directory, 'templates.d', 'plain.toml'), template('max_size = 2'));
}

/// Resolves when the daemon says that it is ready.
async function startDaemon() {
  const daemon = spawn(program, ['--config', directory], { stdio: ['ignore', 'pipe', 'pipe'] });
  daemon.words = '';
  daemon.stderr.on('data', (bytes) => {
    daemon.words = (daemon.words + bytes).slice(-20_000);
  });
  daemon.ended = new Promise((resolve) => daemon.on('exit', (code, signal) => resolve(code ?? signal)));
  await new Promise((resolve, reject) => {
    daemon.stdout.on('data', (bytes) => String(bytes).includes('ready') && resolve());
    daemon.on('error', reject);
    daemon.ended.then((how) => reject(new Error(`${program} ended with ${how}: ${daemon.words}`)));
  });
  return daemon;
}

function ask({ method, target, headers = {}, body = '' }) {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body, 'utf8');
    const request = http.request({
      agent,
      socketPath,
      method,
      path: target,
      headers: { Host: 'warmd', ...headers, ...(method === 'GET' ? {} : { 'Content-Length': bytes.length }) },
    });
    request.setTimeout(kPatience, () => request.destroy(new Error(`no answer in ${kPatience} ms`)));
    request.on('error', (error) => {
      // The server closed a kept connection while this request was on its way: what any client has to live with.
      if (error.code === 'ECONNRESET' && request.reusedSocket) ask({ method, target, headers, body }).then(resolve, reject);
      else reject(error);
    });
    request.on('response', (response) => {
      // Never ends by itself. What it says is tested elsewhere.
      if (response.headers['content-type'] === 'text/event-stream') {
        resolve({ status: response.statusCode, headers: response.headers, body: '' });
        response.destroy();
        return;
      }
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString('utf8') }),
      );
    });
    request.end(method === 'GET' ? undefined : bytes);
  });
}

// ---- What the description says

class Description {
  constructor(document) {
    this.document = document;
    this.ajv = new Ajv({ strict: false, validateFormats: false, allErrors: false });
    this.ajv.addSchema(document, 'api');
    this.validators = new Map();
    this.operations = [];
    for (const [pattern, item] of Object.entries(document.paths)) {
      for (const method of ['get', 'post', 'delete']) {
        if (!item[method]) continue;
        const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((p) => this.resolve(p));
        const { operationId, responses, requestBody } = item[method];
        const body = requestBody && this.resolve(requestBody);
        this.operations.push({ pattern, method: method.toUpperCase(), parameters, operationId, responses, requestBody: body });
      }
    }
  }

  resolve(node) {
    return node.$ref ? this.at(node.$ref) : node;
  }

  at(reference) {
    return reference
      .slice(2)
      .split('/')
      .reduce((node, name) => node[name.replaceAll('~1', '/').replaceAll('~0', '~')], this.document);
  }

  /// Nothing, or what is wrong with the answer.
  problem(operation, answer) {
    const { status, headers, body } = answer;
    if (!headers['x-request-id']) return 'has no X-Request-Id';
    if (!operation.responses[status]) return `status ${status} is not documented`;
    const response = this.resolve(operation.responses[status]);
    const media = (headers['content-type'] ?? '').split(';')[0];
    if (!response.content) return body === '' ? undefined : 'has a body, and must not';
    const content = response.content[media];
    if (!content) return `the content type "${media}" is not documented for ${status}`;
    if (media.startsWith('text/') || media === 'application/x-tar') return undefined;
    for (const text of media === 'application/x-ndjson' ? body.split('\n').slice(0, -1) : [body]) {
      const document = JSON.parse(text);
      const wrong = this.mismatch(content.schema, document);
      if (wrong) return `the body is not as documented: ${wrong}`;
      if (status >= 400 && !(document.code && (document.hint || document.detail))) return 'the problem does not say what to do';
    }
    if (operation.method === 'GET' && status === 200 && media === 'application/json' && !headers.etag) return 'has no ETag';
    return undefined;
  }

  mismatch(schema, document) {
    let validate = this.validators.get(schema);
    if (!validate) {
      const whole = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/'));
      validate = this.ajv.compile(whole);
      this.validators.set(schema, validate);
    }
    return validate(document) ? undefined : this.ajv.errorsText(validate.errors);
  }
}

// ---- What is sent

const seen = { etags: ['"0"'], ids: new Map() };

function remember(answer) {
  if (answer.headers.etag) seen.etags = [answer.headers.etag, ...seen.etags].slice(0, 8);
  for (const [id, kind] of answer.body.matchAll(/\b(inst|ckpt|op|lease|exec)-[a-z0-9]{16}\b/g)) {
    const known = seen.ids.get(kind) ?? [];
    if (!known.includes(id)) seen.ids.set(kind, [id, ...known].slice(0, 12));
  }
}

const kKinds = { checkpoints: 'ckpt', instances: 'inst', operations: 'op', leases: 'lease', execs: 'exec' };
const hostileText = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', '.', '..', '../../etc/passwd', 'a'.repeat(64), 'x'.repeat(3000), '%', '%00', '\u0000', '\u202e', '-1', '1e9', 'null'),
);
const headerText = fc.oneof(
  fc.string({ maxLength: 60 }).map((text) => text.trim()),
  fc.constantFrom('', '*', '"', 'W/"', ',', '"a", "b"', 'W/"a" , *', 'k'.repeat(255), 'k'.repeat(256), '"\\"', '\u00e9\u00ff'),
);
const duration = fc.constantFrom('0s', '1ms', '20ms', '50ms');
const command = fc.constantFrom('true', 'echo out; echo err >&2; exit 3', 'head -c 3000 /dev/zero', 'printf "\\377"', 'cat');

/// Any JSON, also deep, wide and with odd numbers.
const anyJson = fc.oneof(
  { weight: 8, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(-0, 1e308, 2 ** 63, -1.5, 'x'.repeat(70_000), '\u0000', null, true) },
);
const rawBody = fc.oneof(
  fc.constantFrom('', '{', '[]', 'null', '{"a":1,"a":2}', '\u0000', '{"wait":1e999}', '\ufeff{}', '{"command":["\\ud800"]}'),
  fc.integer({ min: 1, max: 3000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  fc.integer({ min: 60, max: 70 }).map((depth) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)),
  fc.constantFrom(1 << 20, (1 << 20) + 1).map((size) => '"'.padEnd(size - 1, 'x') + '"'),
  hostileText,
);

/// Bodies that a schema allows. Times are short: waiting is not what is tested.
function valid(description, schema, name = '') {
  const node = description.resolve(schema);
  if (name === 'command') return command.map((script) => ['sh', '-c', script]);
  if (['wait', 'timeout'].includes(name)) return duration;
  if (name === 'ttl') return fc.constantFrom('1s', '1m');
  if (node.enum) return fc.constantFrom(...node.enum);
  switch (Array.isArray(node.type) ? node.type[0] : node.type) {
    case 'object': {
      const members = Object.entries(node.properties ?? {});
      if (members.length === 0) return node.additionalProperties ? fc.dictionary(fc.stringMatching(/^[A-Z]{1,8}$/), fc.string(), { maxKeys: 3 }) : fc.constant({});
      const choices = node.oneOf ? node.oneOf.map((choice) => choice.required) : [node.required ?? []];
      const others = new Set(choices.flat());
      const of = (names, required) => fc.record(Object.fromEntries(names.map(([key, value]) => [key, valid(description, value, key)])), { requiredKeys: required });
      return fc.oneof(...choices.map((required) => of(members.filter(([key]) => required.includes(key) || !others.has(key)), required)));
    }
    case 'array':
      return fc.array(valid(description, node.items ?? {}), { maxLength: 4 });
    case 'integer':
      return fc.integer({ min: node.minimum ?? 0, max: node.maximum ?? 1000 });
    case 'number':
      return fc.double({ min: 0, max: 1000, noNaN: true });
    case 'boolean':
      return fc.boolean();
    default:
      return fc.string({ maxLength: 20 });
  }
}

/// One wrong member, or one right one too few.
function nearlyValid(description, schema) {
  return fc.tuple(valid(description, schema), fc.string({ maxLength: 8 }), anyJson, fc.nat()).map(([body, name, value, pick]) => {
    const keys = Object.keys(body);
    const key = pick % 3 === 0 || keys.length === 0 ? name : keys[pick % keys.length];
    const changed = { ...body };
    if (pick % 5 === 0) delete changed[key];
    else Object.defineProperty(changed, key, { value, enumerable: true, configurable: true, writable: true });
    return changed;
  });
}

/// Which of the things seen by then, or some text. Chosen when the request is sent, so that it can be there.
function pathValue(parameter, before) {
  const kind = parameter.name === 'template' ? undefined : kKinds[before];
  const known = kind ? fc.nat().map((pick) => ({ kind, pick })) : fc.constantFrom('pooled', 'plain', 'nobody').map((text) => ({ text }));
  return fc.oneof({ weight: 6, arbitrary: known }, { weight: 1, arbitrary: hostileText.map((text) => ({ text })) });
}

function queryValue(parameter, description) {
  const good = parameter.name === 'wait' ? duration : parameter.schema.enum || parameter.schema.type !== 'string' ? valid(description, parameter.schema, parameter.name) : fc.constantFrom('pooled', 'plain');
  return fc.oneof({ weight: 4, arbitrary: good.map(String) }, { weight: 1, arbitrary: hostileText.filter((text) => !/^\s*[0-9]+(s|m|h)/.test(text)) });
}

/// A request that names no time would wait for its default, minutes.
function withShortWait(body) {
  let document;
  try {
    document = JSON.parse(body.replace(/^\ufeff/, '') || '{}'); // the daemon skips the mark, too
  } catch {
    return body;
  }
  const open = document !== null && typeof document === 'object' && !Array.isArray(document) && (document.wait ?? null) === null;
  return open ? JSON.stringify({ ...document, wait: '20ms' }) : body;
}

function requestsFor(operation, description) {
  const segments = operation.pattern.split('/').slice(1);
  const named = operation.parameters.filter((p) => p.in === 'path');
  const values = segments.map((segment, i) =>
    segment.startsWith('{') ? pathValue(named.find((p) => `{${p.name}}` === segment), segments[i - 1]) : fc.constant({ text: segment }),
  );
  const query = Object.fromEntries(operation.parameters.filter((p) => p.in === 'query').map((p) => [p.name, queryValue(p, description)]));
  const etag = fc.oneof(fc.nat().map((pick) => ({ etag: pick })), headerText);
  const goodKey = fc.constantFrom('k1', 'k2', '"k3"', 'k4', 'k5');
  const goodType = fc.constantFrom('application/json', 'application/json; charset=utf-8');
  const type = { 'Content-Type': goodType };
  const required = operation.requestBody ? ['Content-Type'] : [];
  const any = {
    'If-Match': etag,
    'If-None-Match': etag,
    'Idempotency-Key': fc.oneof(goodKey, fc.uuid(), headerText),
    'Last-Event-ID': fc.oneof(fc.nat().map(String), headerText),
    Accept: fc.oneof(fc.constantFrom('*/*', 'text/html, */*;q=0.1', 'application/x-ndjson'), headerText),
    'Content-Type': fc.oneof(goodType, fc.constantFrom('text/plain', 'multipart/form-data'), headerText),
  };
  const headers = fc.oneof(
    { weight: 4, arbitrary: fc.record(type, { requiredKeys: required }) },
    { weight: 2, arbitrary: fc.record({ ...type, 'Idempotency-Key': fc.oneof(goodKey, fc.uuid()) }, { requiredKeys: required }) },
    { weight: 1, arbitrary: fc.record({ ...type, 'If-Match': fc.constant('*'), Accept: fc.constant('application/json') }, { requiredKeys: required }) },
    { weight: 1, arbitrary: fc.record({ ...type, 'If-None-Match': etag }, { requiredKeys: required }) },
    { weight: 1, arbitrary: fc.record(any, { requiredKeys: [] }) },
  );
  const schema = operation.requestBody?.content['application/json'].schema;
  const body = schema
    ? fc.oneof(
        { weight: 6, arbitrary: valid(description, schema).map((document) => JSON.stringify(document)) },
        { weight: 2, arbitrary: nearlyValid(description, schema).map((document) => JSON.stringify(document)) },
        { weight: 1, arbitrary: anyJson.map((document) => JSON.stringify(document)) },
        { weight: 1, arbitrary: rawBody },
      )
    : fc.oneof({ weight: 20, arbitrary: fc.constant('') }, { weight: 1, arbitrary: rawBody });
  const prompt = schema && description.resolve(schema).properties?.wait ? body.map(withShortWait) : body;
  const some = (arbitrary, weight) => fc.oneof({ weight, arbitrary }, { weight: 3, arbitrary: fc.constant({}) });
  return fc.record({
    operation: fc.constant(operation.operationId),
    segments: fc.tuple(...values),
    query: some(fc.record(query, { requiredKeys: [] }), 3),
    extra: fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.tuple(hostileText, hostileText) }),
    headers,
    body: prompt,
  });
}

const latin1 = (text) => [...text].map((c) => (/[\t\x20-\x7e\x80-\xff]/.test(c) ? c : '?')).join('');

/// What goes over the wire.
function concrete({ segments, query, extra, headers, body }, method) {
  const text = ({ text, kind, pick }) => {
    if (text !== undefined) return text;
    const known = seen.ids.get(kind) ?? [`${kind}-0000000000000000`];
    return known[pick % known.length];
  };
  const encode = (value) => encodeURIComponent(value.toWellFormed ? value.toWellFormed() : value.replace(/[\ud800-\udfff]/g, '?'));
  const pairs = Object.entries(query);
  if (extra) pairs.push(extra);
  const target = `/${segments.map((s) => encode(text(s))).join('/')}${pairs.length ? '?' : ''}${pairs.map(([n, v]) => `${encode(n)}=${encode(v)}`).join('&')}`;
  const filled = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, latin1(typeof value === 'object' ? seen.etags[value.etag % seen.etags.length] : value)]),
  );
  return { method, target, headers: filled, body };
}

// ---- The run

async function main() {
  writeConfiguration();
  const daemon = await startDaemon();
  let failure;
  let sent = 0;
  const statuses = new Map();
  const covered = new Set();
  const began = Date.now();
  const repeat = () => `${process.argv[1]} ${program} ${count} ${seed}`;
  try {
    const document = JSON.parse((await ask({ method: 'GET', target: '/openapi.json' })).body);
    const description = new Description(document);
    const byId = new Map(description.operations.map((operation) => [operation.operationId, operation]));
    const quick = description.operations.filter((operation) => !/events/.test(operation.pattern)); // a stream has no end
    // Something to work on; and changes are rarer than looks, so that there is something to look at.
    await ask({ method: 'POST', target: '/v1/templates/pooled/checkpoints?wait=30s' });
    const requests = fc.oneof(
      ...quick.map((operation) => ({ weight: operation.method === 'GET' ? 3 : operation.method === 'DELETE' ? 1 : 2, arbitrary: requestsFor(operation, description) })),
    );
    const one = async (generated) => {
      const operation = byId.get(generated.operation);
      const request = concrete(generated, operation.method);
      let answer;
      try {
        answer = await ask(request);
      } catch (error) {
        // A server may close the connection on a body that it will not read (RFC 9110, 15.5.14).
        if (request.body.length > 1 << 20 && ['EPIPE', 'ECONNRESET'].includes(error.code)) return;
        throw new Error(`${JSON.stringify(request).slice(0, 2000)}\n  was not answered: ${error.message}`);
      }
      ++sent;
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      covered.add(`${operation.operationId} ${answer.status}`);
      remember(answer);
      // An empty segment, or one that the client resolves, makes it another resource or none.
      const moved = answer.status === 404 || answer.status === 405;
      const wrong = moved && !operation.responses[answer.status] ? undefined : description.problem(operation, answer);
      if (wrong) {
        throw new Error(`${JSON.stringify(request).slice(0, 2000)}\n  was answered with ${answer.status} ${answer.body.slice(0, 1000)}\n  which is wrong: ${wrong}`);
      }
      if (answer.status === 500) throw new Error(`${JSON.stringify(request).slice(0, 2000)}\n  made the daemon fail: ${answer.body}`);
    };
    const batch = fc.array(requests, { minLength: kBatch, maxLength: kBatch, size: 'max' });
    const result = await fc.check(
      fc.asyncProperty(batch, async (all) => {
        await Promise.all(all.map(one));
      }),
      { numRuns: Math.ceil(Number(count) / kBatch), seed: Number(seed), endOnFailure: true },
    );
    if (result.failed) throw result.errorInstance;

    const status = JSON.parse((await ask({ method: 'GET', target: '/v1/status' })).body);
    if (status.templates !== 2 || status.recovered !== true) throw new Error(`the status is not sane: ${JSON.stringify(status)}`);
    for (const pool of JSON.parse((await ask({ method: 'GET', target: '/v1/pools' })).body).items) {
      if (pool.idle + pool.leased + pool.filling > pool.max_size || Math.min(pool.idle, pool.leased, pool.filling, pool.draining) < 0) {
        throw new Error(`a pool is not sane: ${JSON.stringify(pool)}`);
      }
    }
    const untouched = [...byId.keys()].filter((id) => !/Events/i.test(id) && ![...covered].some((c) => c.startsWith(`${id} `)));
    if (Number(count) >= 1000 && untouched.length) throw new Error(`never asked: ${untouched.join(', ')}`);
  } catch (error) {
    failure = error.message;
  }
  const seconds = (Date.now() - began) / 1000;
  agent.destroy();
  daemon.kill('SIGTERM');
  const timer = setTimeout(() => daemon.kill('SIGKILL'), 30_000);
  const how = await daemon.ended;
  clearTimeout(timer);
  rmSync(directory, { recursive: true, force: true });
  if (how !== 0 || /AddressSanitizer|runtime error|LeakSanitizer/.test(daemon.words)) {
    failure = `${failure ?? ''}\nthe daemon ended with ${how}: ${daemon.words}`;
  }
  const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, n]) => `${status}: ${n}`).join(', ');
  console.log(`${sent} requests in ${seconds.toFixed(1)} s (${Math.round(sent / seconds)} a second), seed ${seed}`);
  console.log(`answers: ${counts}; ${covered.size} pairs of operation and status`);
  if (failure) {
    console.log(failure);
    console.log(`again: ${repeat()}`);
    process.exit(1);
  }
}

await main();
