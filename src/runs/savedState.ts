/**
 * Checkpoints of a training run, complete enough to go on from bit by bit:
 * `step-000123/` with all trees of tensors in `state.safetensors`, and random states, counters and the like in `state.json`.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredTensor } from '../model/hub/checkpoint';
import { openSafetensors, writeSafetensors } from '../files/safetensors';
import { readJson, readText } from '../files/json';
import { shown } from '../files/printable';
import { FOLDER_MARKER, makeFolder, readFolder, removeFolderAtomic, verifyFolder, writeFolderAtomic } from '../files/atomicFile';
import { checkpointSchema } from './shapes';

/** Everything that a run needs to go on. */
export interface SavedState {
  /** GRPO steps done. */
  readonly step: number;
  /** Trees of tensors by name, e.g. `generator`, `firstMoment`; tree names have no `/`. */
  readonly trees: Readonly<Record<string, Readonly<Record<string, StoredTensor>>>>;
  /** What JSON can hold exactly: states of random streams, the optimizer's step count. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Texts that lie beside them by file name, e.g. `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Result of {@link latestCheckpoint}. */
export interface LatestCheckpoint {
  /** The newest whole checkpoint, or null. */
  readonly state: SavedState | null;
  /** Newer ones that cannot be used, with the reason. */
  readonly ignored: readonly { readonly path: string; readonly reason: string }[];
}

const OWN_FILES = ['state.json', 'state.safetensors'];
const KEPT = 2; // the newest, and one more in case the disk damages it

/**
 * Writes `step-…` into the folder of checkpoints (made if absent), atomically, and deletes all but the two newest.
 *
 * @throws Error naming the path and the cause, or the value that JSON cannot hold; earlier checkpoints are intact
 */
export async function saveState(checkpoints: string, { step, trees, values, files = {} }: SavedState): Promise<void> {
  if (!Number.isSafeInteger(step) || step < 0) throw new Error(`a checkpoint's step is a whole number from 0 on (got ${step})`);
  const badTree = Object.keys(trees).find((tree) => tree.includes('/'));
  if (badTree) throw new Error(`the name of a tree must not contain / (got ${JSON.stringify(badTree)})`);
  const json = exactJson({ step, trees: Object.keys(trees), values });
  const tensors = Object.entries(trees).flatMap(([tree, leaves]) =>
    Object.entries(leaves).map(([name, tensor]) => [`${tree}/${name}`, tensor] as const),
  );
  makeFolder(checkpoints);
  await writeFolderAtomic(join(checkpoints, `step-${String(step).padStart(6, '0')}`), (folder) => {
    writeSafetensors(join(folder, 'state.safetensors'), Object.fromEntries(tensors));
    writeFileSync(join(folder, 'state.json'), json);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  });
  removeOldCheckpoints(checkpoints);
}

/** All but the newest: also those that a process left which was killed when it was about to remove them. */
export function removeOldCheckpoints(checkpoints: string): void {
  for (const old of listCheckpoints(checkpoints).slice(KEPT)) removeFolderAtomic(old);
}

/** Finds the newest checkpoint that is whole; damaged ones are skipped and listed. */
export function latestCheckpoint(checkpoints: string): LatestCheckpoint {
  const ignored: { path: string; reason: string }[] = [];
  for (const path of listCheckpoints(checkpoints)) {
    try {
      return { state: loadState(path), ignored };
    } catch (error) {
      ignored.push({ path, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { state: null, ignored };
}

/** Reads one checkpoint. Throws Error naming what is missing or damaged. */
export function loadState(path: string): SavedState {
  verifyFolder(path);
  const json = readJson(join(path, 'state.json'), checkpointSchema);
  const trees: Record<string, Record<string, StoredTensor>> = Object.fromEntries(json.trees.map((tree) => [tree, {}]));
  const file = openSafetensors(join(path, 'state.safetensors'));
  try {
    for (const [fullName, { shape }] of file.tensors) {
      const slash = fullName.indexOf('/');
      const tree = trees[fullName.slice(0, slash)];
      if (!tree) throw new Error(`${path}: ${shown(fullName)} is of none of the trees ${json.trees.join(', ')}`);
      tree[fullName.slice(slash + 1)] = { shape, data: file.read(fullName) as Float32Array };
    }
  } finally {
    file.close();
  }
  const others = readFolder(path).filter((name) => name !== FOLDER_MARKER && !OWN_FILES.includes(name));
  const files = Object.fromEntries(others.map((name) => [name, readText(join(path, name))]));
  return { step: json.step, trees, values: json.values, files };
}

/** Paths of the checkpoints, newest first. */
function listCheckpoints(checkpoints: string): string[] {
  const entries = existsSync(checkpoints) ? readFolder(checkpoints) : [];
  const names = entries.filter((name) => /^step-\d{6,}$/.test(name));
  return names.sort((a, b) => Number(b.slice(5)) - Number(a.slice(5))).map((name) => join(checkpoints, name));
}

/** JSON turns NaN and infinities into null without a word; a resumed run would go on with something else. */
function exactJson(value: unknown): string {
  const check = (key: string, x: unknown): unknown => {
    if (typeof x === 'number' && !Number.isFinite(x))
      throw new Error(`a checkpoint cannot hold ${x} (value ${JSON.stringify(key)})`);
    return x;
  };
  return JSON.stringify(value, check, 1) + '\n';
}
