/** Where the cache, the token and the way to a hub come from: the environment, as Python's library and other programs read it. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheFolder, endpoint, hubToken } from '../../../src/model/hub/access';
import { modelFolder } from '../../../src/model/hub/hub';
import { tryTmpfs } from '../../fixtures/tmpfs';
import { localHub, type LocalHub } from '../../support/localHub';
import { writeGpt2Folder } from '../../support/pretrainedFolders';

const NAMES = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'HF_TOKEN',
  'HF_TOKEN_PATH',
  'HF_ENDPOINT',
  'HF_HUB_OFFLINE',
  'XDG_CACHE_HOME',
];
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [name, name.toLowerCase()]); // prettier-ignore
const place = fs.mkdtempSync(path.join(tmpdir(), 'hub-access-'));
let hub: LocalHub;

beforeAll(async () => {
  const source = path.join(place, 'source');
  writeGpt2Folder(source);
  const files = Object.fromEntries(fs.readdirSync(source).map((name) => [name, fs.readFileSync(path.join(source, name))]));
  hub = await localHub({ 'org/tiny': { files }, 'org/secret': { files, gated: true } });
});
beforeEach(() => {
  for (const name of [...NAMES, ...PROXIES]) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_HOME', path.join(place, 'home'));
  vi.stubEnv('HF_ENDPOINT', hub.url);
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  await hub.close();
  fs.rmSync(place, { recursive: true });
});
const said: string[] = [];
const fetched = (name: string) => modelFolder(name, { say: (line) => said.push(line), patience: { silence: 20_000, pause: 5 } });

describe('the environment', () => {
  it('~ is the user’s folder', () => {
    vi.stubEnv('HF_HOME', '~/models');
    expect(cacheFolder()).toBe(path.join(homedir(), 'models', 'hub'));
    vi.stubEnv('HF_HUB_CACHE', '~');
    expect(cacheFolder()).toBe(homedir());
    vi.stubEnv('HF_HUB_CACHE', '/a~b/~');
    expect(cacheFolder()).toBe('/a~b/~');
  });

  it('the token is HF_TOKEN, or what a login stored', () => {
    const home = path.join(place, 'login');
    fs.mkdirSync(home);
    vi.stubEnv('HF_HOME', home);
    expect(hubToken()).toBeUndefined();
    fs.writeFileSync(path.join(home, 'token'), 'hf_stored\n');
    expect(hubToken()).toBe('hf_stored');
    fs.writeFileSync(path.join(home, 'other'), 'hf_other');
    vi.stubEnv('HF_TOKEN_PATH', path.join(home, 'other'));
    expect(hubToken()).toBe('hf_other');
    vi.stubEnv('HF_TOKEN', ' hf_given ');
    expect(hubToken()).toBe('hf_given');
    for (const wrong of ['password', 'hf_two\nlines']) {
      vi.stubEnv('HF_TOKEN', wrong);
      expect(hubToken).toThrow(/^HF_TOKEN is no token of the hub: those start with hf_$/);
    }
  });

  it('a stored token opens a gated model', async () => {
    fs.mkdirSync(path.join(place, 'home'), { recursive: true });
    fs.writeFileSync(path.join(place, 'home', 'token'), 'hf_good');
    expect(fs.existsSync(path.join(await fetched('org/secret'), 'config.json'))).toBe(true);
    fs.rmSync(path.join(place, 'home', 'token'));
  });

  it('another hub is an address without a password', () => {
    for (const wrong of ['hub.example', 'ftp://hub.example', 'https://me:secret@hub.example']) {
      vi.stubEnv('HF_ENDPOINT', wrong);
      expect(endpoint).toThrow(/^HF_ENDPOINT must be the address of a hub without user and password/);
    }
  });
});

describe('a cache that is whole', () => {
  it('is not written to', async () => {
    const folder = await fetched('org/tiny');
    const store = path.join(place, 'home', 'hub', 'models--org--tiny');
    const entries = [
      store,
      ...fs.readdirSync(store, { recursive: true, encoding: 'utf8' }).map((name) => path.join(store, name)),
    ];
    const times = () => entries.map((entry) => [entry, fs.lstatSync(entry).mtimeMs, fs.lstatSync(entry).ino]);
    const before = times();
    expect(await fetched('org/tiny')).toBe(folder);
    expect(times()).toEqual(before);
  });

  it('loads from a disk that is read-only, also where the hub has more', async () => {
    const disk = tryTmpfs(place, 'size=8m');
    if (!disk) return;
    vi.stubEnv('HF_HOME', disk.path);
    const folder = await fetched('org/tiny');
    fs.rmSync(path.join(folder, 'tokenizer_config.json')); // somebody else did not fetch it
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    expect(await fetched('org/tiny')).toBe(folder);
    expect(said.at(-1)).toMatch(/^cannot write \S+: the file system is read-only \(EROFS\); taking its copy in the cache$/);
    disk.unmount();
  });
});

/** A proxy on this computer that tunnels, and what it was asked to reach. */
async function tunnel(): Promise<{ url: string; asked: string[]; server: Server }> {
  const asked: string[] = [];
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', ({ url }: { url: string }, client: Socket, head: Buffer) => {
    asked.push(url);
    const [host, port] = url.split(':');
    if (host !== '127.0.0.1' && host !== 'localhost') return void client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [upstream, client]) socket.on('error', () => [upstream, client].forEach((each) => each.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, server };
}

describe('a proxy', () => {
  it('is gone through, but to hosts that need none; one that refuses, or is none, is named', async () => {
    const proxy = await tunnel();
    vi.stubEnv('HF_HOME', path.join(place, 'by-proxy'));
    vi.stubEnv('HTTP_PROXY', proxy.url);
    vi.stubEnv('HTTPS_PROXY', proxy.url);
    vi.stubEnv('NO_PROXY', '127.0.0.1,localhost');
    await fetched('org/tiny');
    expect(proxy.asked).toEqual([]);
    vi.stubEnv('NO_PROXY', 'localhost');
    await fetched('org/tiny');
    expect(new Set(proxy.asked)).toEqual(new Set([new URL(hub.url).host]));
    vi.stubEnv('HF_ENDPOINT', 'https://hub.invalid');
    await fetched('org/other').catch((error: Error) =>
      expect(error.message).toMatch(
        /^org\/other: cannot reach https:\/\/hub\.invalid \(Proxy response \(403\) .+\), and its copy/,
      ),
    );
    expect(proxy.asked.at(-1)).toBe('hub.invalid:443');
    vi.stubEnv('HTTPS_PROXY', 'socks9://me:secret@nowhere');
    await expect(fetched('org/other')).rejects.toThrow(/^HTTP_PROXY or HTTPS_PROXY is not the address of a proxy/);
    await expect(fetched('org/other')).rejects.not.toThrow(/secret/);
    proxy.server.closeAllConnections();
    proxy.server.close();
    expect.assertions(6);
  });
});
