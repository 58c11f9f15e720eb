// Loaded into every rank by ranks.mjs: where the time of a step goes, written as JSON to the file RANK_PARTS names, with the rank behind it.
const { writeFileSync } = require('node:fs');
const collective = require('../../dist/model/ranks/collective.js');
const ranked = require('../../dist/model/ranks/ranked.js');

const parts = {};
let bytes = 0;
const timed =
  (part, f) =>
  async (...args) => {
    const begun = performance.now();
    try {
      return await f(...args);
    } finally {
      const { calls, seconds } = parts[part] ?? { calls: 0, seconds: 0 };
      parts[part] = { calls: calls + 1, seconds: seconds + (performance.now() - begun) / 1000 };
    }
  };

const { joinRanks } = collective;
collective.joinRanks = (...args) => {
  const ranks = joinRanks(...args);
  const sum = (arrays) => {
    for (const { byteLength } of arrays) bytes += byteLength;
    return ranks.sum(arrays);
  };
  process.once('exit', () => writeFileSync(`${process.env.RANK_PARTS}-${ranks.rank}`, JSON.stringify({ parts, bytes })));
  return { ...ranks, sum: timed('sum', sum), gather: timed('gather', ranks.gather) };
};

const { rankedModel } = ranked;
const WORK = ['sample', 'gradient', 'hessianVectorProduct', 'logProbs', 'policyGradient'];
ranked.rankedModel = (model, ranks) =>
  rankedModel({ ...model, ...Object.fromEntries(WORK.map((name) => [name, timed(name, model[name])])) }, ranks);
