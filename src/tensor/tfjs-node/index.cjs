// What danfojs-node takes for tfjs-node: the tfjs of this project, and tfjs-data for its `sample`.
require('../../../dist/tensor/tfjs.js');
module.exports = { ...require('@tensorflow/tfjs-core'), data: require('@tensorflow/tfjs-data') };
