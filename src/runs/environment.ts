/**
 * What a run ran on: enough to run it again.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { version_core } from '@tensorflow/tfjs-core';
import { ROOT } from '../files/paths';

/** Written beside the configuration in a run folder. */
export interface Environment {
  /** Version of this package. */
  readonly version: string;
  /** Commit of this package's checkout, with `-dirty` when files were changed; null outside a checkout. */
  readonly commit: string | null;
  readonly node: string;
  readonly tfjs: string;
  /** The tfjs backend, e.g. `wasm`. */
  readonly backend: string;
  /** The model's engine, e.g. `fused`. */
  readonly engine: string;
  readonly seed: number;
}

/** Describes this process. */
export function describeEnvironment({ backend, engine, seed }: Pick<Environment, 'backend' | 'engine' | 'seed'>): Environment {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return { version, commit: gitCommit(ROOT), node: process.version, tfjs: version_core, backend, engine, seed };
}

/** Only of the package's own checkout: as a dependency it lies inside somebody else's. */
function gitCommit(root: string): string | null {
  if (!existsSync(join(root, '.git'))) return null;
  const describe = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'];
  try {
    return execFileSync('git', describe, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null; // no git, or no commit yet
  }
}
