/**
 * Models by name: a folder in Hugging Face format, a GGUF file, or a model of the Hugging Face hub (`openai-community/gpt2`, with `@revision` if it
 * shall be that one), downloaded once into the cache that Python's `huggingface_hub` uses.
 *
 * Read from the environment: `HF_TOKEN` (gated models), `HF_HOME` or `HF_HUB_CACHE` (where the cache is), `HF_HUB_OFFLINE=1` (cache only),
 * `HF_ENDPOINT` (another hub).
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as hub from '@huggingface/hub';
import type { EngineOptions } from '../engine';
import { parseModelConfig } from '../families';
import type { ModelConfig } from '../types';
import { isGgufName } from '../../files/gguf';
import { makeFolder, writeFileAtomic } from '../../files/atomicFile';
import { startBackend } from '../../tensor/backend';
import { loadActor } from '../../dpg/actor';
import { openGgufModel } from './ggufModel';
import { fetchFile, isUndamaged, type HubFile } from './hubFile';
import type { Actor } from '../../dpg/experiment';

/** What a download tells while it goes on. */
export interface HubOptions {
  /** Takes a line now and then; default: stderr. */
  readonly say?: (line: string) => void;
}

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const NEEDED = ['config.json', 'tokenizer.json'];
const WANTED = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

/** `organisation/model` or `organisation/model@revision`. */
const HUB_NAME = /^(\w[\w.-]*\/\w[\w.-]*)(?:@(\w(?:[\w/-]|\.(?!\.))*))?$/;

/** Whether a name can be one of the hub's; a folder of that name wins. */
export const isHubName = (name: string): boolean => HUB_NAME.test(name);

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * A model with its parameters and tokenizer, ready to train or to be trained on; the backend is started.
 * @param name - a folder, a GGUF file, or a name on the hub
 * @throws Error in one line: what is missing, damaged, not reachable or not supported, and what to do
 */
export async function load(name: string, options: EngineOptions & HubOptions = {}): Promise<Actor> {
  const folder = await modelFolder(name, options);
  await startBackend();
  return loadActor(folder, options);
}

/** The GGUF file of a folder that has no other weights. @throws Error if there are several */
function onlyGguf(folder: string): string | undefined {
  if ([WEIGHTS, INDEX].some((name) => existsSync(join(folder, name)))) return undefined;
  const [first, ...others] = readdirSync(folder).filter(isGgufName);
  if (others.length > 0) throw new Error(`${folder} has several GGUF files: name one of them, e.g. ${join(folder, first)}`);
  return first && join(folder, first);
}

const running = new Map<string, Promise<string>>();

/** Where a model lies: the folder or GGUF file `name` itself, or its whole and checked snapshot in the cache. @throws Error as {@link load} */
export async function modelFolder(name: string, { say = console.error }: HubOptions = {}): Promise<string> {
  if (isFolder(name)) return onlyGguf(name) ?? name;
  if (isGgufName(name)) {
    if (existsSync(name)) return name;
    throw new Error(`${name}: there is no such file`);
  }
  const [, repo, revision = 'main'] = HUB_NAME.exec(name) ?? [];
  if (!repo) throw new Error(`${name}: there is no such folder, and models of the hub are called organisation/model`);
  const snapshot = running.get(name) ?? findSnapshot(sourceOf(repo, revision, say)).finally(() => running.delete(name));
  running.set(name, snapshot); // two callers share one download
  return snapshot;
}

/** One revision of a model on a hub. */
interface Source {
  readonly repo: string;
  readonly revision: string;
  readonly endpoint: string;
  readonly token?: string;
  /** The repository's folder in the cache. */
  readonly store: string;
  readonly say: (line: string) => void;
}

function sourceOf(repo: string, revision: string, say: (line: string) => void): Source {
  const { HF_ENDPOINT, HF_TOKEN } = process.env;
  const store = join(hub.getHFHubCachePath(), hub.getRepoFolderName({ type: 'model', name: repo }));
  return { repo, revision, endpoint: HF_ENDPOINT?.replace(/\/+$/, '') || hub.HUB_URL, token: HF_TOKEN || undefined, store, say };
}

const isOffline = (): boolean => /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);
const isHash = (text: string | undefined): text is string => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text ?? '');

async function findSnapshot(source: Source): Promise<string> {
  const { repo, revision, store, say } = source;
  const cached = cachedSnapshot(source);
  if (cached && (isOffline() || isCommit(revision))) return requireUndamaged(cached);
  if (isOffline())
    throw new Error(`${repo} is not whole in the cache (${store}), and HF_HUB_OFFLINE forbids to download it: unset it once`);
  const found = await listing(source).catch((error: unknown) => {
    if (!(error instanceof UnreachableError)) throw error;
    if (!cached)
      throw new Error(`${error.message}, and its copy in the cache is missing or not whole: connect, or give a folder`);
    say(`${error.message}; taking its copy in the cache`);
    return undefined;
  });
  return found ? download(source, found) : requireUndamaged(cached!);
}

/** The folder of a revision in the cache, if nothing that is needed is missing there. */
function cachedSnapshot({ store, revision }: Source): string | undefined {
  const ref = join(store, 'refs', revision);
  const commit = isCommit(revision) ? revision : existsSync(ref) ? readFileSync(ref, 'utf8').trim() : '';
  const folder = join(store, 'snapshots', commit);
  const has = (name: string): boolean => existsSync(join(folder, name));
  const weights = (): boolean => has(WEIGHTS) || (has(INDEX) && shardsOf(folder).every(has));
  return commit && NEEDED.every(has) && weights() ? folder : undefined;
}

/** @throws Error naming a file of a snapshot whose content is not what was downloaded */
function requireUndamaged(folder: string): string {
  const weights = existsSync(join(folder, WEIGHTS)) ? [WEIGHTS] : [INDEX, ...shardsOf(folder)];
  const damaged = [...NEEDED, ...weights].map((name) => join(folder, name)).find((path) => !isUndamaged(path));
  if (damaged) throw new Error(`${damaged} is damaged (its hash is not that of the hub): delete it, and load the model online`);
  return folder;
}

/** The files that an index of shards names. */
function shardsOf(folder: string): string[] {
  const path = join(folder, INDEX);
  try {
    const { weight_map } = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(weight_map))];
  } catch (error) {
    throw new Error(`${path} is no index of shards: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** What the hub has of a model. */
interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

async function listing(source: Source): Promise<Listing> {
  const { repo, revision, endpoint, token } = source;
  const access = { hubUrl: endpoint, ...(token && { accessToken: token }) };
  const info = await ask(source, 'find', () => hub.modelInfo({ name: repo, revision, additionalFields: ['sha'], ...access }));
  const files = new Map<string, HubFile>();
  await ask(source, 'read', async () => {
    for await (const { type, path: name, size, lfs, oid } of hub.listFiles({ repo, revision: info.sha, ...access }))
      if (type === 'file' && !/[/\\]/.test(name)) files.set(name, { name, size, hash: lfs?.oid ?? oid ?? '' });
  });
  if (!isCommit(info.sha) || ![...files.values()].every(({ hash }) => isHash(hash)))
    // they become names of files
    throw new Error(`${endpoint} does not answer like a hub: ${repo} has a commit or a file without a hash`);
  return { commit: info.sha, files };
}

/** Brings what is needed into the cache: the config first, so that a model that cannot be run costs no long download. */
async function download(source: Source, { commit, files }: Listing): Promise<string> {
  const { repo, revision, store, say } = source;
  const snapshot = join(store, 'snapshots', commit);
  const fetch = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (!file) throw new Error(`${repo} has no ${name} on the hub: it cannot be loaded`);
    await fetchFile(file, { store, snapshot }, (from) => open(source, commit, file, from), reporter(repo, file, say));
  };
  await fetch('config.json');
  folderConfig(snapshot);
  for (const name of ['tokenizer.json', ...WANTED.filter((each) => files.has(each))]) await fetch(name);
  if (files.has(WEIGHTS) || !files.has(INDEX)) await fetch(WEIGHTS);
  else {
    await fetch(INDEX);
    for (const shard of shardsOf(snapshot)) await fetch(shard);
  }
  if (!isCommit(revision)) {
    const ref = join(store, 'refs', revision);
    makeFolder(join(ref, '..'));
    writeFileAtomic(ref, commit); // last: a revision in the cache is whole
  }
  return snapshot;
}

/** Config of the model in a folder or GGUF file. @throws Error naming the file and the architecture or the keys that cannot be run */
export async function modelConfig(folder: string): Promise<ModelConfig> {
  if (!isGgufName(folder)) return folderConfig(folder);
  const model = await openGgufModel(folder);
  model.close();
  return model.config;
}

function folderConfig(folder: string): ModelConfig {
  const path = join(folder, 'config.json');
  try {
    return parseModelConfig(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>).config;
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** The content of a file from byte `from` on; by plain HTTP, which can be resumed. */
async function open(source: Source, commit: string, { name, size }: HubFile, from: number): Promise<ReadableStream<Uint8Array>> {
  const { repo, endpoint, token } = source;
  const blob = await ask(source, 'read', () =>
    hub.downloadFile({ repo, path: name, revision: commit, hubUrl: endpoint, xet: false, ...(token && { accessToken: token }) }),
  );
  if (!blob) throw new Error(`${repo} has no ${name} on the hub: it cannot be loaded`);
  return blob.slice(from, size).stream();
}

const SAY_EVERY = 2000; // milliseconds

function reporter(repo: string, { name, size }: HubFile, say: (line: string) => void): (bytes: number) => void {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  let said = Date.now();
  return (bytes) => {
    const done = bytes === size && size > 1e6;
    if (Date.now() - said < SAY_EVERY && !done) return;
    said = Date.now();
    say(`${repo} ${name}: ${megabytes(bytes)} of ${megabytes(size)} MB (${Math.floor((100 * bytes) / size)} %)`);
  };
}

/** The hub cannot be reached at all. */
class UnreachableError extends Error {}

/** What a call of the hub's library returns; its errors in one line that says what to do. */
async function ask<T>(source: Source, stage: 'find' | 'read', call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw explained(error, source, stage);
  }
}

function explained(error: unknown, source: Source, stage: 'find' | 'read'): Error {
  const { repo, endpoint } = source;
  const said = error instanceof Error ? error.message.split('\n')[0] : String(error);
  if (said.includes("must start with 'hf_'")) return new Error('HF_TOKEN is no token of the hub: those start with hf_');
  if (error instanceof hub.HubApiError) return new Error(refusal(source, stage, error.statusCode, said), { cause: error });
  if (!(error instanceof TypeError)) return new Error(`${endpoint} does not answer like a hub: ${said}`, { cause: error });
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return new UnreachableError(`${repo}: cannot reach ${endpoint} (${code ?? said})`, { cause: error });
}

/** What the status of an answer means. To someone without a token the hub calls unknown and private models the same: 401. */
function refusal({ repo, revision, endpoint, token }: Source, stage: 'find' | 'read', status: number, said: string): string {
  const model = `${repo}${revision === 'main' ? '' : ` (${revision})`}`;
  const denied = status === 401 || status === 403;
  if (status === 404 || (denied && stage === 'find'))
    return `no folder and no model on ${endpoint} is called ${model}: check the name (a private model needs HF_TOKEN)`;
  if (!denied) return `${endpoint} answers ${status} for ${model}: ${said}; try again later`;
  const page = `${endpoint}/${repo}`;
  if (token) return `${model} is gated and HF_TOKEN gives no access to it: ask for access at ${page}`;
  return `${model} is gated: accept its terms at ${page} and set HF_TOKEN to a token of that account`;
}
