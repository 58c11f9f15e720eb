/**
 * The tslab kernel without the one thing that breaks it: TypeScript watches the folders in which it looked for a module in vain, e.g. every
 * node_modules above a notebook, and waits some time after a change there. tslab holds a single timer for TypeScript, so that each later
 * cell failed with "Unexpected pending rebuildTimer". Changed files are still seen. Usage: as tslab, `node startTslab.js kernel …`
 */
import { createRequire } from 'node:module';

const tslab = createRequire(require.resolve('tslab/package.json'));
const { sys } = tslab('@tslab/typescript-for-tslab') as { sys: { watchDirectory: () => { close: () => void } } };
sys.watchDirectory = () => ({ close: () => undefined });
(tslab('./dist/main.js') as { main: () => void }).main();
