/** Where things lie: the package, what comes with it, and where runs go. */
import { join } from 'node:path';

/** Root of the package: of `src/files` as of `dist/files`. */
export const ROOT = join(__dirname, '../..');

/** Where runs go unless they are told otherwise. */
export const RUNS = join(ROOT, 'runs');
