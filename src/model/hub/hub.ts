/**
 * Models by name: a folder in Hugging Face format, a GGUF file, or a model of the Hugging Face hub (`openai-community/gpt2`, with
 * `@revision` if it shall be that one), downloaded once into the cache that Python's `huggingface_hub` uses; `access.ts` says what is read
 * from the environment.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../types';
import { isGgufName } from '../../files/gguf';
import { errorWithoutToken, PATIENCE, type Patience } from './access';
import { INDEX, readConfig, WEIGHTS } from './checkpoint';
import { openGgufModel } from './ggufModel';
import { findSnapshot } from './snapshot';

/** What a download tells while it goes on, and how long it waits. */
export interface HubOptions {
  /** Takes a line now and then; default: stderr. */
  readonly say?: (line: string) => void;
  /** Default: a minute of silence, pauses from half a second on. */
  readonly patience?: Patience;
}

/** `organisation/model` or `organisation/model@revision`. */
const HUB_NAME = /^(\w[\w.-]*\/\w[\w.-]*)(?:@(\w(?:[\w/-]|\.(?!\.))*))?$/;

/** Whether a name can be one of the hub's; a folder of that name wins. */
export const isHubName = (name: string): boolean => HUB_NAME.test(name);

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Whatever a hub wrote into its answers or files: errors are without the user's token. */
export const tokenHidden = <T>(result: Promise<T>): Promise<T> =>
  result.catch((error: unknown) => Promise.reject(errorWithoutToken(error) as Error));

/** The GGUF file of a folder that has no other weights. @throws Error if there are several */
function onlyGguf(folder: string): string | undefined {
  if ([WEIGHTS, INDEX].some((name) => existsSync(join(folder, name)))) return undefined;
  const [first, ...others] = readdirSync(folder).filter(isGgufName);
  if (others.length > 0) throw new Error(`${folder} has several GGUF files: name one of them, e.g. ${join(folder, first)}`);
  return first && join(folder, first);
}

const running = new Map<string, Promise<string>>();

/**
 * Where a model lies: the folder or GGUF file `name` itself, or its whole and checked snapshot in the cache.
 * @throws Error in one line: what is missing, damaged, not reachable or not supported, and what to do
 */
export async function modelFolder(name: string, { say = console.error, patience = PATIENCE }: HubOptions = {}): Promise<string> {
  if (isFolder(name)) return onlyGguf(name) ?? name;
  if (isGgufName(name)) {
    if (existsSync(name)) return name;
    throw new Error(`${name}: there is no such file`);
  }
  const [, repo, revision = 'main'] = HUB_NAME.exec(name) ?? [];
  if (!repo) throw new Error(`${name}: there is no such folder, and models of the hub are called organisation/model`);
  const snapshot =
    running.get(name) ?? tokenHidden(findSnapshot(repo, revision, { say, patience })).finally(() => running.delete(name));
  running.set(name, snapshot); // two callers share one download
  return snapshot;
}

/** Config of the model in a folder or GGUF file. @throws Error naming the file and the architecture or the keys that cannot be run */
export async function modelConfig(folder: string): Promise<ModelConfig> {
  if (!isGgufName(folder)) return readConfig(folder).config;
  const model = await openGgufModel(folder);
  model.close();
  return model.config;
}
