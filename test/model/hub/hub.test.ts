import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { load } from '../../../src/dpg/models';
import { modelFolder } from '../../../src/model/hub/hub';
import { loadCheckpoint } from '../../../src/model/hub/checkpoint';
import { disposeParams } from '../../../src/tensor/params';
import { localHub, type LocalHub } from '../../support/localHub';
import { writeGpt2Folder } from '../../support/pretrainedFolders';

const place = fs.mkdtempSync(path.join(tmpdir(), 'hub-'));
const SHARD = 'model-00002-of-00002.safetensors';
const source = path.join(place, 'source');
let hub: LocalHub;
let nobody: string;
let files: Record<string, Buffer>;
let lines: string[];
let home: string;
let count = 0;

beforeAll(async () => {
  writeGpt2Folder(source);
  files = Object.fromEntries(fs.readdirSync(source).map((name) => [name, fs.readFileSync(path.join(source, name))]));
  hub = await localHub({});
  const gone = await localHub({});
  nobody = gone.url; // where nobody listens
  await gone.close();
});
beforeEach(() => {
  home = path.join(place, `home${count++}`);
  lines = [];
  Object.assign(hub.repositories, { 'org/tiny': { files }, 'org/secret': { files, gated: true } });
  hub.requests.length = 0;
  for (const [name, value] of Object.entries({ HF_HOME: home, HF_ENDPOINT: hub.url })) vi.stubEnv(name, value);
  for (const name of ['HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE']) vi.stubEnv(name, undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  for (const record of [hub.cuts, hub.tampered, hub.repositories]) for (const key of Object.keys(record)) delete record[key];
});
afterAll(async () => {
  await hub.close();
  fs.rmSync(place, { recursive: true });
});

const say = (line: string): void => void lines.push(line);
const patience = { silence: 20_000, pause: 5 };
const fetched = (name: string) => modelFolder(name, { say, patience });
/** The message of an error, which is one line. */
const failure = async (name: string): Promise<string> => {
  const message = await fetched(name).then(
    () => 'no error',
    (error: Error) => error.message,
  );
  expect(message).not.toContain('\n');
  return message;
};
/** Requests of a file's content, without the probe of its size. */
const contentRequests = (name: string) =>
  hub.requests.filter(({ url, range }) => url.startsWith('/cdn/') && url.endsWith(name) && range !== 'bytes=0-0');
/** Every file of the cache but links. */
const stored = (): string[] =>
  fs.existsSync(home)
    ? fs
        .readdirSync(home, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
    : [];

describe('a model of the hub', () => {
  it('lies in the cache as Python’s library puts it, with the bytes of the hub; a second load asks for no content', async () => {
    const folder = await fetched('org/tiny');
    const store = path.join(home, 'hub', 'models--org--tiny');
    const commit = fs.readFileSync(path.join(store, 'refs', 'main'), 'utf8');
    expect(folder).toBe(path.join(store, 'snapshots', commit));
    for (const [name, bytes] of Object.entries(files)) expect(fs.readFileSync(path.join(folder, name)).equals(bytes)).toBe(true);
    const sha256 = createHash('sha256').update(files[SHARD]).digest('hex');
    expect(fs.readlinkSync(path.join(folder, SHARD))).toBe(path.join('..', '..', 'blobs', sha256));
    hub.requests.length = 0;
    expect(await fetched('org/tiny')).toBe(folder);
    expect(hub.requests.map(({ url }) => url.split('/')[1])).toEqual(['api', 'api']);
  });

  it('becomes an actor; the same as from the folder', async () => {
    const [actor, direct] = [await load('org/tiny', { say, workers: 1 }), await load(source, { workers: 1 })];
    expect(actor.model.config).toEqual(direct.model.config);
    for (const [name, x] of Object.entries(direct.params)) expect(actor.params[name].dataSync()).toEqual(x.dataSync());
    expect(actor.tokenizer.eosId).toBe(296);
    disposeParams(actor.params, direct.params);
  });

  it('is found offline, by its name or its commit, once it is there; callers at the same time share the download', async () => {
    const [folder, same] = await Promise.all([fetched('org/tiny'), fetched('org/tiny')]);
    expect(same).toBe(folder);
    expect(contentRequests(SHARD)).toHaveLength(1);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    hub.requests.length = 0;
    expect(await fetched('org/tiny')).toBe(folder);
    expect(await fetched(`org/tiny@${path.basename(folder)}`)).toBe(folder);
    expect(hub.requests).toEqual([]);
    vi.stubEnv('HF_HUB_OFFLINE', undefined);
    vi.stubEnv('HF_ENDPOINT', nobody);
    expect(await fetched('org/tiny')).toBe(folder);
    expect(lines.at(-1)).toBe(`org/tiny: cannot reach ${nobody} (ECONNREFUSED); taking its copy in the cache`);
  });

  it('that is gated comes with a token, which other origins never see', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_good');
    await fetched('org/secret');
    const seen = hub.requests.filter(({ authorization }) => authorization);
    expect(seen.length).toBeGreaterThan(5);
    for (const { authorization, host } of seen) expect([authorization, host]).toEqual(['Bearer hf_good', hub.url.slice(7)]);
    expect(hub.requests.some(({ host }) => host?.startsWith('localhost'))).toBe(true);
  });
});

describe('a broken connection', () => {
  it('is taken up where it broke, at once', async () => {
    hub.cuts[SHARD] = [5000, 7000];
    await fetched('org/tiny');
    expect(contentRequests(SHARD).map(({ range }) => range?.split('-')[0])).toEqual([undefined, 'bytes=5000', 'bytes=12000']);
  });

  it('that stays broken is an error, and a later call goes on from there', async () => {
    hub.cuts[SHARD] = [5000, 0, 0, 0];
    expect(await failure('org/tiny')).toMatch(
      new RegExp(`^${SHARD}: the connection broke after 5000 of ${files[SHARD].length} bytes \\(.+\\); try again`),
    );
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await failure('org/tiny')).toContain('org/tiny is not whole in the cache');
    vi.stubEnv('HF_HUB_OFFLINE', undefined);
    expect(stored().filter((name) => name.endsWith('.incomplete'))).toHaveLength(1);
    hub.requests.length = 0;
    const folder = await fetched('org/tiny');
    expect(contentRequests(SHARD).map(({ range }) => range)).toEqual([`bytes=5000-${files[SHARD].length - 1}`]);
    expect(fs.readFileSync(path.join(folder, SHARD)).equals(files[SHARD])).toBe(true);
    expect(stored().filter((name) => name.endsWith('.incomplete'))).toEqual([]);
  });

  it('of a process that is gone is taken up, that of a running one left alone', async () => {
    const sha256 = createHash('sha256').update(files[SHARD]).digest('hex');
    const blobs = path.join(home, 'hub', 'models--org--tiny', 'blobs');
    fs.mkdirSync(blobs, { recursive: true });
    const left = (pid: number): string => path.join(blobs, `${sha256}.${pid}.incomplete`);
    fs.writeFileSync(left(2 ** 22 + 1), files[SHARD].subarray(0, 6000)); // beyond Linux's largest process id
    fs.writeFileSync(left(process.ppid), files[SHARD].subarray(0, 9000));
    await fetched('org/tiny');
    expect(contentRequests(SHARD).map(({ range }) => range?.split('-')[0])).toEqual(['bytes=6000']);
    expect(stored().filter((name) => name.endsWith('.incomplete'))).toEqual([path.basename(left(process.ppid))]);
  });
});

describe('errors in one line, and nothing is left that would be used', () => {
  it.each<[string, string, Record<string, string>, RegExp]>([
    ['a wrong name', 'org/tinny', {}, /^no folder and no model on http\S+ is called org\/tinny: check the name/],
    ['a wrong revision', 'org/tiny@v2', {}, /^no folder and no model on http\S+ is called org\/tiny \(v2\): check the name/],
    ['a gated model', 'org/secret', {}, /^org\/secret is gated: accept its terms at http\S+\/org\/secret and set HF_TOKEN/],
    ['no access', 'org/secret', { HF_TOKEN: 'hf_other' }, /^org\/secret is gated and HF_TOKEN gives no access to it: ask .+\/org\/secret$/],
    ['no token', 'org/tiny', { HF_TOKEN: 'password' }, /^HF_TOKEN is no token of the hub: those start with hf_$/],
    ['offline', 'org/tiny', { HF_HUB_OFFLINE: '1' }, /^org\/tiny is not whole in the cache \(.+\), and HF_HUB_OFFLINE forbids/],
    ['a revision that leaves the cache', 'org/tiny@../../x', {}, /^org\/tiny@\.\.\/\.\.\/x: there is no such folder/],
    ['neither folder nor name', './nowhere', {}, /^\.\/nowhere: there is no such folder, and models of the hub are called organisation\/model$/],
  ])('%s', async (_, name, environment, message) => {
    for (const [key, value] of Object.entries(environment)) vi.stubEnv(key, value);
    expect(await failure(name)).toMatch(message);
    expect(stored()).toEqual([]);
  }); // prettier-ignore

  it('no network', async () => {
    vi.stubEnv('HF_ENDPOINT', nobody);
    expect(await failure('org/tiny')).toBe(
      `org/tiny: cannot reach ${nobody} (ECONNREFUSED), and its copy in the cache is missing or not whole: connect, or give a folder`,
    );
    expect(stored()).toEqual([]);
  });

  it('an architecture that cannot be run, before its weights are asked for', async () => {
    hub.repositories['org/tiny'] = { files: { ...files, 'config.json': Buffer.from('{"model_type":"mamba"}') } };
    expect(await failure('org/tiny')).toMatch(
      /config\.json: model_type "mamba" is not supported \(supported: gpt2, llama, qwen2, qwen3\)$/,
    );
    expect(contentRequests('.safetensors')).toEqual([]);
  });

  it('a file that the hub does not have', async () => {
    const { 'tokenizer.json': _, ...others } = files;
    hub.repositories['org/tiny'] = { files: others };
    expect(await failure('org/tiny')).toBe('org/tiny has no tokenizer.json on the hub: it cannot be loaded');
    const { 'model.safetensors.index.json': __, ...unindexed } = files;
    hub.repositories['org/tiny'] = { files: unindexed };
    expect(await failure('org/tiny')).toBe('org/tiny has no model.safetensors on the hub: it cannot be loaded');
  });

  it('a shard that arrives damaged is thrown away', async () => {
    hub.tampered[SHARD] = Buffer.from(files[SHARD]).fill(7, 9000, 9001);
    expect(await failure('org/tiny')).toMatch(new RegExp(`^${SHARD} arrived damaged .+: try again$`));
    expect(stored().filter((name) => name.endsWith('.incomplete'))).toEqual([]);
    delete hub.tampered[SHARD];
    expect(loadCheckpoint(await fetched('org/tiny')).config.n_layer).toBe(2);
  });

  it('a shard in the cache that was cut or changed since is named offline, and brought again online', async () => {
    const shard = path.join(await fetched('org/tiny'), SHARD);
    for (const damage of [
      () => fs.truncateSync(shard, 4000),
      () =>
        fs.writeFileSync(
          shard,
          files[SHARD].map((b) => b ^ 1),
        ),
    ]) {
      damage();
      vi.stubEnv('HF_HUB_OFFLINE', 'true');
      expect(await failure('org/tiny')).toBe(
        `${shard} is damaged (its hash is not that of the hub): delete it, and load the model online`,
      );
      vi.stubEnv('HF_HUB_OFFLINE', undefined);
      await fetched('org/tiny');
      expect(fs.readFileSync(shard).equals(files[SHARD])).toBe(true);
    }
  });
});
