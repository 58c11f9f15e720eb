/** The snapshot of a model in the cache: found there, or brought there from the hub and checked. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as hub from '@huggingface/hub';
import { z } from 'zod';
import { makeFolder, writeFileAtomic } from '../../files/atomicFile';
import { MAX_JSON } from '../../files/json';
import { printable, shorten, shown } from '../../files/printable';
import { cacheFolder, endpoint, hubToken, isOffline, withoutToken, type Patience } from './access';
import { INDEX, readConfig, readIndex, WEIGHTS } from './checkpoint';
import { askingFetch, connect, openContent, UnreachableError, type Connection } from './http';
import { fetchFile, isUndamaged, type HubFile } from './hubFile';

const NEEDED = ['config.json', 'tokenizer.json'];
const WANTED = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

/** One revision of a model. */
interface Revision {
  readonly repo: string;
  readonly revision: string;
  /** The repository's folder in the cache. */
  readonly store: string;
}

/** A revision on a hub that is connected. */
interface Source extends Revision {
  readonly hub: Connection;
  readonly say: (line: string) => void;
}

const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/**
 * The folder of a revision in the cache, whole and checked.
 * @throws Error in one line: what is missing, damaged or not reachable, and what to do
 */
export async function findSnapshot(
  repo: string,
  revision: string,
  options: { readonly patience: Patience; readonly say: (line: string) => void },
): Promise<string> {
  const store = join(cacheFolder(), hub.getRepoFolderName({ type: 'model', name: repo }));
  const cached = cachedSnapshot({ repo, revision, store });
  if (cached && (isOffline() || isCommit(revision))) return requireUndamaged(cached);
  if (isOffline())
    throw new Error(`${repo} is not whole in the cache (${store}), and HF_HUB_OFFLINE forbids to download it: unset it once`);
  const connection = connect(endpoint(), hubToken(), options.patience);
  const say = (line: string): void => options.say(withoutToken(line));
  try {
    const source = { repo, revision, store, hub: connection, say };
    return await download(source, await listing(source));
  } catch (error) {
    if (!(error instanceof UnreachableError) && !isWriteRefusal(error)) throw error;
    if (cached) {
      say(`${(error as Error).message}; taking its copy in the cache`);
      return requireUndamaged(cached);
    }
    if (isWriteRefusal(error)) throw error;
    throw new Error(`${(error as Error).message}, and its copy in the cache is missing or not whole: connect, or give a folder`);
  } finally {
    await connection.proxies.destroy();
  }
}

/** Whether a cache may not be written to. */
const isWriteRefusal = (error: unknown): boolean =>
  error instanceof Error && ['EROFS', 'EACCES', 'EPERM'].includes((error.cause as NodeJS.ErrnoException | undefined)?.code ?? '');

/** The folder of a revision in the cache, if nothing that is needed is missing there. */
function cachedSnapshot({ store, revision }: Revision): string | undefined {
  const ref = join(store, 'refs', revision);
  const commit = isCommit(revision) ? revision : existsSync(ref) ? readFileSync(ref, 'utf8').trim() : '';
  const folder = join(store, 'snapshots', commit);
  const has = (name: string): boolean => existsSync(join(folder, name));
  const weights = (): boolean => has(WEIGHTS) || (has(INDEX) && shardsOf(folder).every(has));
  return isCommit(commit) && NEEDED.every(has) && weights() ? folder : undefined;
}

/** @throws Error naming a file of a snapshot whose content is not what was downloaded */
function requireUndamaged(folder: string): string {
  const weights = existsSync(join(folder, WEIGHTS)) ? [WEIGHTS] : [INDEX, ...shardsOf(folder)];
  const damaged = [...NEEDED, ...weights].map((name) => join(folder, name)).find((path) => !isUndamaged(path));
  if (damaged) throw new Error(`${damaged} is damaged (its hash is not that of the hub): delete it, and load the model online`);
  return folder;
}

/** The files that an index of shards names. */
const shardsOf = (folder: string): string[] => [...new Set(Object.values(readIndex(folder)))];

/** What the hub has of a model. */
interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.number().int().nonnegative();
const infoSchema = z.looseObject({ sha: sha1 });
const treeSchema = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    size,
    oid: sha1.optional(),
    lfs: z.looseObject({ oid: sha256, size }).nullish(),
  }),
);

const MAX_FILES = 10_000;

async function listing(source: Source): Promise<Listing> {
  const { repo, revision } = source;
  const hubUrl = source.hub.endpoint;
  const { sha: commit } = await ask(source, 'find', () =>
    hub.modelInfo({ name: repo, revision, additionalFields: ['sha'], hubUrl, fetch: askingFetch(source.hub, infoSchema) }),
  );
  const files = new Map<string, HubFile>();
  await ask(source, 'read', async () => {
    const pages = hub.listFiles({ repo, revision: commit, hubUrl, fetch: askingFetch(source.hub, treeSchema) });
    let count = 0;
    for await (const { type, path: name, size, lfs, oid } of pages) {
      if (++count > MAX_FILES) throw new Error(`it lists more than ${MAX_FILES} files`);
      if (type === 'file' && !/[/\\]/.test(name)) files.set(name, { name, size, hash: lfs?.oid ?? oid ?? '' });
    }
  });
  return { commit, files };
}

/** Brings what is needed into the cache: the config first, so that a model that cannot be run costs no long download. */
async function download(source: Source, { commit, files }: Listing): Promise<string> {
  const { repo, revision, store } = source;
  const snapshot = join(store, 'snapshots', commit);
  const fetch = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (!file?.hash) throw new Error(`${repo} has no ${name} on the hub: it cannot be loaded`);
    if (!name.endsWith('.safetensors') && file.size > MAX_JSON)
      throw new Error(
        `${repo}: ${shown(name)} has ${file.size} bytes on the hub, which no such file has (more than ${MAX_JSON})`,
      );
    const url = new URL(`${source.hub.endpoint}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`);
    await fetchFile(
      file,
      { store, snapshot },
      {
        open: (from) => ask(source, 'read', () => openContent(source.hub, url, from, file.size)),
        report: reporter(repo, file, source.say),
        patience: source.hub.patience,
      },
    );
  };
  await fetch('config.json');
  readConfig(snapshot);
  for (const name of ['tokenizer.json', ...WANTED.filter((each) => files.has(each))]) await fetch(name);
  if (files.has(WEIGHTS) || !files.has(INDEX)) await fetch(WEIGHTS);
  else {
    await fetch(INDEX);
    for (const shard of shardsOf(snapshot)) await fetch(shard);
  }
  if (!isCommit(revision)) {
    const ref = join(store, 'refs', revision);
    makeFolder(join(ref, '..'));
    if (!existsSync(ref) || readFileSync(ref, 'utf8') !== commit) writeFileAtomic(ref, commit); // last: a revision in the cache is whole
  }
  return snapshot;
}

const SAY_EVERY = 2000; // milliseconds

function reporter(repo: string, { name, size }: HubFile, say: (line: string) => void): (bytes: number) => void {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const rate = (bytes: number): string => (bytes < 1e6 ? `${(bytes / 1e3).toPrecision(2)} kB/s` : `${megabytes(bytes)} MB/s`);
  let said = { at: Date.now(), bytes: 0 };
  return (bytes) => {
    const seconds = (Date.now() - said.at) / 1000;
    if (1000 * seconds < SAY_EVERY && !(bytes === size && size > 1e6)) return;
    const speed = rate(Math.max(0, bytes - said.bytes) / Math.max(seconds, 1e-3));
    said = { at: Date.now(), bytes };
    say(`${repo} ${name}: ${megabytes(bytes)} of ${megabytes(size)} MB (${Math.floor((100 * bytes) / size)} %, ${speed})`);
  };
}

/** What a call to the hub returns; its errors in one line that says what to do. */
async function ask<T>(source: Source, stage: 'find' | 'read', call: () => Promise<T>): Promise<T> {
  const { repo, hub: connection } = source;
  try {
    return await call();
  } catch (error) {
    if (error instanceof UnreachableError) throw new UnreachableError(`${repo}: ${error.message}`, { cause: error });
    if (error instanceof hub.HubApiError) throw new Error(refusal(source, stage, error), { cause: error });
    const said = error instanceof Error ? error.message : String(error);
    throw new Error(`${connection.endpoint} does not answer like a hub: ${said}`, { cause: error });
  }
}

/** What the status of an answer means. To someone without a token the hub calls unknown and private models the same: 401. */
function refusal(
  { repo, revision, hub: { endpoint, token } }: Source,
  stage: 'find' | 'read',
  { statusCode, message }: hub.HubApiError,
): string {
  const model = `${repo}${revision === 'main' ? '' : ` (${revision})`}`;
  const denied = statusCode === 401 || statusCode === 403;
  if (stage === 'find' && (statusCode === 404 || denied))
    return `no folder and no model on ${endpoint} is called ${model}: check the name (a private model needs HF_TOKEN)`;
  const said = printable(shorten(message.split('\n')[0].replace(/\. URL: .*/, ''), 200));
  if (!denied) return `${endpoint} answers ${statusCode} for ${model}${said && `: ${said}`}`;
  const page = `${endpoint}/${repo}`;
  if (token) return `${model} is gated and HF_TOKEN gives no access to it: ask for access at ${page}`;
  return `${model} is gated: accept its terms at ${page} and set HF_TOKEN to a token of that account`;
}
