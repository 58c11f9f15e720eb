/**
 * The tslab kernel without the one thing that breaks it: TypeScript watches the folders in which it looked for a module in vain, e.g. every
 * node_modules above a notebook, and the package.json of every module it found, and waits some time after a change there. tslab holds a
 * single timer for TypeScript, so that each later cell failed with "Unexpected pending rebuildTimer". Files of the project are still seen
 * to change, those of installed packages after a restart of the kernel. Usage: as tslab, `node startTslab.js kernel …`
 */
import { createRequire } from 'node:module';

type Watch = (path: string, ...rest: unknown[]) => { close: () => void };

const tslab = createRequire(require.resolve('tslab/package.json'));
const { sys } = tslab('@tslab/typescript-for-tslab') as { sys: { watchDirectory: Watch; watchFile: Watch } };
const { watchFile } = sys;
const unwatched = { close: () => undefined };
sys.watchDirectory = () => unwatched;
sys.watchFile = (path, ...rest) =>
  /[\\/]node_modules[\\/]|[\\/]package\.json$/.test(path) ? unwatched : watchFile.call(sys, path, ...rest);
(tslab('./dist/main.js') as { main: () => void }).main();
