/**
 * What tfjs-core lacks without its umbrella package, a third of a gigabyte: gradients, methods on tensors (`x.add(y)`) and a backend.
 * tfjs has the first two as modules that Node cannot load; `build.mjs` makes one file of them.
 */
import path from 'node:path';
import '@tensorflow/tfjs-backend-cpu';

const folder = __filename.endsWith('.ts') ? path.resolve(__dirname, '../../dist/tensor') : __dirname; // tests run the sources
require(path.join(folder, 'registrations.cjs'));
