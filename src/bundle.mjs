// Bundles what Node or npm cannot take as it is, by a bundler that nobody needs at run time:
// - dist/tensor/registrations.cjs: the gradients and tensor methods of tfjs-core, which it has as modules that Node does not load. tfjs's
//   registries are global, so that they reach everybody's tfjs-core;
// - dist/danfojs.js and its declarations: danfojs-node, which the npm registry alone cannot install (it asks for a tarball from elsewhere),
//   on the tfjs and the mathjs of this project.
// And makes `dpg` executable: npm does so when it installs the package, not when a folder that npx knows already is built again.
// Usage: node src/bundle.mjs
import { chmodSync, cpSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'rolldown';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');

/** @param aside - what stays a `require`, by what is asked for: true, or what to ask for from `file` */
const bundle = (file, input, aside = {}) =>
  build({
    cwd: root,
    input,
    platform: 'node',
    logLevel: 'warn',
    plugins: [{ name: 'aside', resolveId: (id) => aside[id] && { id: aside[id] === true ? id : aside[id], external: true } }],
    output: { file: path.join(dist, file), format: 'cjs' },
  });

const main = path.join(dist, 'cli/main.js');
chmodSync(main, 0o755);
utimesSync(main, new Date(), new Date()); // tsc leaves what does not change, and the tests see by it whether dist/ is up to date
await bundle('tensor/registrations.cjs', './src/tensor/registrations.mjs');
await bundle('danfojs.js', 'danfojs-node', {
  mathjs: true,
  'plotly.js-dist-min': true, // in browsers alone
  '@tensorflow/tfjs-core': true,
  '@tensorflow/tfjs-data': true,
  '../../../dist/tensor/tfjs.js': './tensor/tfjs.js', // asked for by tfjs-node/
});
cpSync(path.join(root, 'node_modules/danfojs-node/dist'), path.join(dist, 'danfojs'), {
  recursive: true,
  filter: (file) => !path.extname(file) || file.endsWith('.d.ts'),
});
writeFileSync(path.join(dist, 'danfojs.d.ts'), "export * from './danfojs/danfojs-node/src';\n");
