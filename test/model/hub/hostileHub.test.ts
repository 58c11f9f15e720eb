/**
 * A hub that is wrong, slow or hostile in one way each: the model arrives, or one sentence says what is wrong, in a bounded number of
 * requests and bytes, memory and time, and no other host ever sees the token. All are asked at the same time, but for those that wait.
 */
import * as fs from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { modelFolder } from '../../../src/model/hub/hub';
import { localHub, type Asked, type LocalHub } from '../../support/localHub';
import { writeGpt2Folder } from '../../support/pretrainedFolders';

const TOKEN = 'hf_aSecretOfTheUser';
const SHARD = 'model-00002-of-00002.safetensors';

type Misbehaviour = (asked: Asked, response: ServerResponse) => boolean;
type About = Asked['about'];

const send = (status: number, body: string | Buffer = '', headers: Record<string, string | string[]> = {}) =>
  ((_, response) => {
    response.writeHead(status, headers).end(body);
    return true;
  }) satisfies Misbehaviour;
const json = (body: unknown, headers: Record<string, string> = {}) =>
  send(200, JSON.stringify(body), { 'Content-Type': 'application/json', ...headers });
const at =
  (about: About, how: Misbehaviour, file?: string): Misbehaviour =>
  (asked, response) =>
    asked.about === about && (file === undefined || asked.file === file) && how(asked, response);
const first =
  (times: number, how: Misbehaviour): Misbehaviour =>
  (asked, response) =>
    asked.before < times && how(asked, response);
const raw =
  (bytes: string): Misbehaviour =>
  (_, response) => {
    response.socket!.end(bytes);
    return true;
  };
const silent: Misbehaviour = () => true;
/** Sends a piece again and again, as fast as it is taken or after pauses. */
const endless =
  (piece: string, pause = 0): Misbehaviour =>
  (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const more = (): void => {
      if (!response.destroyed) response.write(piece, () => (pause ? setTimeout(more, pause) : setImmediate(more)));
    };
    more();
    return true;
  };
const selfLink =
  (host: (address: string) => string, cursor: () => string): Misbehaviour =>
  (asked, response) => {
    const address = host(`http://${asked.request.headers.host}${asked.request.url!.split('&cursor')[0]}`);
    return json([], { Link: `<${address}&cursor=${cursor()}>; rel="next"` })(asked, response);
  };
const elsewhere = (address: string): string => address.replace('127.0.0.1', 'localhost'); // another origin
const tree = (entry: object): Misbehaviour =>
  at('listing', json([{ type: 'file', path: 'config.json', size: 9, oid: '0'.repeat(40), ...entry }]));
const config = (body: string | Buffer, headers = {}): Misbehaviour => at('file', send(200, body, headers), 'config.json');
let count = 0;

const UNLIKE = /^http\S+ does not answer like a hub: /;
const UNREACHABLE = /^org\/\d+: cannot reach http\S+ \(.+\), and its copy in the cache is missing or not whole/;
const CASES: [string, Misbehaviour, 'whole' | RegExp, silence?: number][] = [
  ['answers nothing (204) when asked for a model', at('info', send(204)), UNLIKE],
  [
    'answers an empty 200',
    at('info', send(200)),
    /does not answer like a hub: the answer to \/api\/\S+ is no JSON \(it is empty\)$/,
  ],
  ['is a login page', at('info', send(200, '<html>Welcome</html>')), /is no JSON \(it begins with "<html>Welcome<\/html>"\)$/],
  ['says null', at('info', json(null)), /does not have the expected shape: expected object \(got null\)$/],
  ['says a list', at('info', json([1])), /does not have the expected shape: expected object/],
  ['names no commit', at('info', json({ id: 'x' })), /sha: expected string \(missing\)$/],
  ['names a commit that leaves the cache', at('info', json({ sha: '../../../etc' })), /sha: .+\(got "..\/..\/..\/etc"\)$/],
  ['describes a model without end', at('info', endless(' '.repeat(65536))), /its answer is longer than 16 MB$/],
  ['drips without end', at('info', endless(' ', 20)), /its answer is not whole after 2 s$/, 200],
  ['never says a word', at('info', silent), /cannot reach http\S+ \(it sent nothing for 0.5 s\)/, 500],
  ['is out of order', at('info', send(500)), /^org\/\d+: http\S+ answers 500 Internal Server Error, and its copy/],
  ['is busy twice', at('info', first(2, send(503))), 'whole'],
  ['always has too many requests', at('info', send(429, '', { 'Retry-After': '999999' })), /answers 429 Too Many Requests/],
  [
    'is a teapot',
    at('info', send(418, '{"error":"short and stout"}', { 'Content-Type': 'application/json' })),
    /answers 418 for org\/\d+: short and stout$/,
  ],
  [
    'redirects in circles',
    at('info', (asked, response) => send(302, '', { Location: asked.request.url! })(asked, response)),
    /does not answer like a hub: redirect count exceeded$/,
  ],
  [
    'lives somewhere else',
    at(
      'info',
      (asked, response) =>
        asked.request.headers.host!.startsWith('127') &&
        send(307, '', { Location: elsewhere(`http://${asked.request.headers.host}${asked.request.url}`) })(asked, response),
    ),
    'whole',
  ],
  ['hangs up', at('info', (_, response) => Boolean(response.socket!.destroy())), UNREACHABLE],
  [
    'hangs up once',
    at(
      'info',
      first(1, (_, response) => Boolean(response.socket!.destroy())),
    ),
    'whole',
  ],
  ['speaks no HTTP', at('info', raw('SSH-2.0-OpenSSH_9.6\r\n')), UNLIKE],
  ['has endless headers', at('info', raw(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)), UNLIKE],
  ['sends less than it states', at('info', raw('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{')), UNREACHABLE],
  [
    'zips a bomb',
    at('info', send(200, gzipSync(Buffer.alloc(4e7)), { 'Content-Encoding': 'gzip' })),
    /its answer is longer than 16 MB$/,
  ],
  ['zips nothing', at('info', send(200, 'no gzip', { 'Content-Encoding': 'gzip' })), UNLIKE],
  [
    'echoes the token',
    at('info', (asked, response) =>
      send(400, JSON.stringify({ error: `no: ${asked.request.headers.authorization}` }), { 'Content-Type': 'application/json' })(
        asked,
        response,
      ),
    ),
    /answers 400 for org\/\d+: no: Bearer hf_…$/,
  ],
  [
    'says a long word with colours',
    at('info', send(400, JSON.stringify({ error: `\u001b[31m${'a'.repeat(5e6)}` }), { 'Content-Type': 'application/json' })),
    /answers 400 for org\/\d+: \ufffd\[31ma{190,194}…$/,
  ],
  ['nests 100,000 lists', at('info', send(200, '['.repeat(1e5) + ']'.repeat(1e5))), UNLIKE],
  [
    'says the next page is this one',
    at(
      'listing',
      selfLink(
        (same) => same,
        () => '',
      ),
    ),
    /its answer has more than 50 pages$/,
  ],
  [
    'has pages without end, elsewhere',
    at(
      'listing',
      selfLink(elsewhere, () => String(count++)),
    ),
    /its answer has more than 50 pages$/,
  ],
  ['lists an object', at('listing', json({ files: [] })), /does not have the expected shape: expected array/],
  ['lists nothing', at('listing', json([])), /^org\/\d+ has no config\.json on the hub/],
  ['lists null', at('listing', json([null])), /does not have the expected shape: 0: expected object/],
  ['lists a size that is none', tree({ size: -1 }), /0\.size: .+\(got -1\)$/],
  ['lists a hash that leaves the cache', tree({ oid: '../x' }), /0\.oid: .+\(got "..\/x"\)$/],
  [
    'lists 20,000 files',
    at(
      'listing',
      json(Array.from({ length: 20_000 }, (_, i) => ({ type: 'file', path: `f${i}`, size: 1, oid: '0'.repeat(40) }))),
    ),
    /it lists more than 10000 files$/,
  ],
  [
    'lists a config of a petabyte',
    tree({ size: 1e15 }),
    /^org\/\d+: "config\.json" has 1000000000000000 bytes on the hub, which no such file has/,
  ],
  [
    'has no word for a file (204)',
    config(''),
    /^config\.json: the connection broke after 0 of \d+ bytes \(the answer was empty\); try again/,
  ],
  ['sends nothing for a file', at('file', send(204), 'config.json'), /^config\.json: the connection broke after 0 of \d+ bytes/],
  ['sends a file without end', at('file', endless('x'.repeat(65536)), 'config.json'), /^config\.json arrived damaged/],
  [
    'sends a byte a connection',
    at(
      'file',
      ({ before }, response) =>
        Boolean(
          response
            .writeHead(before ? 206 : 200, { 'Content-Range': `bytes ${before}-${before}/999`, 'Content-Length': '99' })
            .write('{', () => setTimeout(() => response.destroy(), 20)),
        ),
      'config.json',
    ),
    /^config\.json: the connection broke after \d of \d+ bytes/,
  ],
  [
    'stops in the middle of a file',
    at('cdn', (_, response) => response.writeHead(200, { 'Content-Length': '25920' }).write('x'.repeat(99)), SHARD),
    /^model-0000\d\S+: the connection broke after 99 of 25920 bytes \(cannot reach \S+ \(it sent nothing for 0.5 s\)\)/,
    500,
  ],
  ['drips a file', at('file', ({ file }, response) => drip(files[file], response), 'config.json'), 'whole', 2000],
  [
    'knows no ranges',
    at(
      'cdn',
      ({ file, before }, response) =>
        before === 0
          ? response
              .writeHead(200, { 'Content-Length': String(files[file].length) })
              .write(files[file].subarray(0, 5000), () => setTimeout(() => response.destroy(), 20))
          : send(200, files[file])({} as Asked, response),
      SHARD,
    ),
    'whole',
  ],
  [
    'sends another range',
    at('file', send(206, 'x', { 'Content-Range': 'bytes 7-7/9' }), 'config.json'),
    /it sends other bytes of a file than it was asked for \(from 7, not 0\)$/,
  ],
  [
    'sends other bytes',
    at('file', ({ file }, response) => send(200, Buffer.alloc(files[file].length))({} as Asked, response), 'config.json'),
    /^config\.json arrived damaged/,
  ],
  ['finds no range', at('file', send(416), 'config.json'), /answers 416 for org\/\d+: Range Not Satisfiable$/],
  ['lost a file', at('cdn', send(404), SHARD), /answers 404 for org\/\d+: Not Found$/],
  ['points at a file of this computer', at('file', send(302, '', { Location: 'file:///etc/passwd' }), 'config.json'), UNLIKE],
  ['closes in between', at('cdn', send(403), SHARD), /is gated and HF_TOKEN gives no access to it/],
];

/** Ten pieces, 50 ms apart. */
function drip(file: Buffer, response: ServerResponse): boolean {
  response.writeHead(200, { 'Content-Length': String(file.length) });
  const piece = Math.ceil(file.length / 10);
  for (let i = 0; i < 10; i++) setTimeout(() => response.write(file.subarray(i * piece, (i + 1) * piece)), 50 * i);
  return true;
}

const place = fs.mkdtempSync(path.join(tmpdir(), 'hostile-hub-'));
let hub: LocalHub;
let files: Record<string, Buffer>;
const said: string[] = [];
const outcomes = new Map<string, { message: string; seconds: number }>();
const sent = new Map<string, number>();
let peak = 0;

beforeAll(async () => {
  const source = path.join(place, 'source');
  writeGpt2Folder(source);
  files = Object.fromEntries(fs.readdirSync(source).map((name) => [name, fs.readFileSync(path.join(source, name))]));
  hub = await localHub({});
  const environment = { HF_HOME: path.join(place, 'home'), HF_ENDPOINT: hub.url, HF_TOKEN: TOKEN };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  for (const name of ['HF_HUB_OFFLINE', 'HF_HUB_CACHE', 'HTTP_PROXY', 'http_proxy']) vi.stubEnv(name, undefined);
  const before = process.memoryUsage().rss;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss - before)), 20);
  const all = CASES.map(([, misbehaves, , silence], i) => ({ name: `org/${i}`, misbehaves, silence }));
  await Promise.all(all.filter(({ silence }) => !silence).map(({ name, misbehaves }) => ask(name, misbehaves, 20_000)));
  await Promise.all(all.filter(({ silence }) => silence).map(({ name, misbehaves, silence }) => ask(name, misbehaves, silence!)));
  clearInterval(watch);
}, 60_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  fs.rmSync(place, { recursive: true });
});

async function ask(name: string, misbehaves: Misbehaviour, silence: number): Promise<void> {
  hub.repositories[name] = {
    files,
    misbehaves(asked, response) {
      const { socket } = asked.request;
      const bytes = socket.bytesWritten;
      response.on('close', () => sent.set(name, (sent.get(name) ?? 0) + socket.bytesWritten - bytes));
      return misbehaves(asked, response);
    },
  };
  const started = Date.now();
  const message = await modelFolder(name, { say: (line) => said.push(line), patience: { silence, pause: 5 } }).then(
    () => 'whole',
    (error: Error) => `${error.message}`,
  );
  outcomes.set(name, { message, seconds: (Date.now() - started) / 1000 });
}

it.each(CASES.map(([title, , expected], i) => ({ title, expected, name: `org/${i}` })))(
  'a hub that $title',
  ({ expected, name }) => {
    const { message, seconds } = outcomes.get(name)!;
    if (expected === 'whole') expect(message).toBe('whole');
    else expect(message).toMatch(expected);
    expect(message).not.toContain('\n');
    expect(message.length).toBeLessThan(600);
    expect(seconds).toBeLessThan(30);
    const requests = hub.requests.filter(({ url }) => `${url}/`.includes(`/${name}/`)).length;
    expect(requests, 'requests').toBeLessThanOrEqual(100);
    expect(sent.get(name) ?? 0, 'bytes').toBeLessThan(32e6);
  },
);

it('has at least 30 ways, in less than a gigabyte of memory in all', () => {
  expect(CASES.length).toBeGreaterThanOrEqual(30);
  expect(peak).toBeLessThan(1e9);
});

it('is told the token at its own origin alone, and nobody is shown it', () => {
  const elsewhere = hub.requests.filter(({ host }) => host !== new URL(hub.url).host);
  expect(elsewhere.length).toBeGreaterThan(20);
  expect(elsewhere.filter(({ authorization }) => authorization)).toEqual([]);
  expect(hub.requests.filter(({ authorization }) => authorization === `Bearer ${TOKEN}`).length).toBeGreaterThan(20);
  const shown = JSON.stringify([[...outcomes.values()], said]);
  expect(shown).not.toContain(TOKEN);
});
