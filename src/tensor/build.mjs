// Bundles the gradients and tensor methods of tfjs-core into dist/tensor/registrations.cjs. tfjs's registries are global, so that they
// reach the tfjs-core of everybody else in the process.
// Usage: node src/tensor/build.mjs
import path from 'node:path';
import { build } from 'rolldown';

const TFJS = '@tensorflow/tfjs-core/dist';
const ENTRY = `import '${TFJS}/register_all_gradients.js'; import '${TFJS}/public/chained_ops/register_all_chained_ops.js';`;
const root = path.resolve(import.meta.dirname, '../..');

await build({
  cwd: root,
  input: 'registrations',
  platform: 'node',
  logLevel: 'warn',
  plugins: [
    {
      name: 'entry',
      resolveId: (id) => (id === 'registrations' ? path.join(root, 'registrations.mjs') : undefined),
      load: (id) => (id === path.join(root, 'registrations.mjs') ? ENTRY : undefined),
    },
  ],
  output: { file: path.join(root, 'dist/tensor/registrations.cjs'), format: 'cjs', minify: false },
});
