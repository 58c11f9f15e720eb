// What danfojs-node takes for tfjs-node: tfjs-core as the rest of the project has it, and tfjs-data for its `sample`. Both places of this folder
// are three below the project: src/tensor/tfjs-node, which node_modules links to, and node_modules/@tensorflow/tfjs-node of the npm package.
const { createRequire } = require('node:module');

const project = createRequire(require.resolve('../../../package.json'));
project('./dist/tensor/tfjs.js');
module.exports = { ...project('@tensorflow/tfjs-core'), data: project('@tensorflow/tfjs-data') };
