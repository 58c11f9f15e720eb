/** What runs are called, and where they lie. */
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { makeFolder } from '../files/atomicFile';
import { RUNS } from '../files/paths';

/** A run, the path of its folder, or the name of one in `runs/`. */
export type RunOrName = string | { readonly folder: { readonly path: string } };

/** Makes `runs/EXPERIMENT-seedN-TIME`, with a number for the second one in the same second; returns its path. */
export function newRunFolder(experiment: string, seed: number): string {
  const time = new Date().toISOString().slice(0, 19).replace(/:/g, '');
  const folder = path.join(RUNS, `${experiment}-seed${seed}-${time}`);
  makeFolder(RUNS);
  for (let count = 1; ; count++) {
    const free = count === 1 ? folder : `${folder}-${count}`;
    if (madeNew(free)) return free;
  }
}

function madeNew(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * The folder of a run, the same for notebooks, which run in a folder of their own, and for commands; a path without a run stays as it is.
 */
export function runPath(run: RunOrName): string {
  if (typeof run !== 'string') return run.folder.path;
  const places = [run, path.join(RUNS, run), path.join(RUNS, '..', run)];
  return places.find((place) => existsSync(path.join(place, 'config.json'))) ?? places.find((place) => existsSync(place)) ?? run;
}
