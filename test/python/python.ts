/** The Python that tests here run, and what it has. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ROOT } from '../cli/dpg';

export const PYTHON = 'python3';
export const SCRIPTS = path.join(ROOT, 'notebooks/python');

/** Whether a module is there; says so where it is not. */
export function has(module: string): boolean {
  const there = spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0;
  if (!there) console.log(`skipped: python3 has no ${module} (pip install ${module})`);
  return there;
}
