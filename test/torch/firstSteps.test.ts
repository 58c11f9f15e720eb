/** Metagradients of the experiments' real first steps, at their own settings, beside PyTorch in float64, which shares no line with ours. */
import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Experiment } from '../../src/dpg/experiment';
import { reading } from '../../src/dpg/reading';
import { disposeTrainer, startTraining, train, type TrainStep } from '../../src/dpg/train';
import { l2Norm } from '../../src/experiments/l2Norm';
import { CHARACTER_MODELS } from '../../src/experiments/weightSpace';
import { PIECE_MODELS } from '../../src/experiments/outputSpace';
import { rephrase } from '../../src/experiments/rephrase';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { uuid } from '../../src/experiments/uuid';
import { evaluationIds } from '../../src/objective/likelihood';
import { SIXTY_SEVEN } from '../../src/objective/pattern';
import { responsesOf } from '../../src/policy/rollouts';
import { dataSets } from '../../src/reward/metagradient';
import { randomStream } from '../../src/tensor/random';
import { regressionSlope } from '../setup';
import { useBackend } from '../support/backend';

const python = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', 'import torch, transformers']).status === 0);
if (!python) console.log('skipped: no python3 has PyTorch and transformers');

/** The first step of a run, and φ_0's fine-tuning of it as PyTorch shall do it. */
async function firstStep(experiment: Experiment, folder: string, objective: object) {
  const { config } = experiment;
  const state = startTraining(experiment);
  let step: TrainStep | undefined;
  for await (step of train({ ...experiment, state })) break;
  disposeTrainer(state);
  const { rollouts } = step!;
  const { responses } = reading(experiment)(responsesOf(rollouts));
  const [order] = dataSets(responses.length, rollouts.group, true, randomStream(config.seed, 'batches'));
  const innerSteps = experiment.configAt?.(0).innerSteps ?? config.innerSteps;
  const size = order.length / innerSteps;
  const batches = Array.from({ length: innerSteps }, (_, t) =>
    Array.from(order.subarray(t * size, (t + 1) * size), (i) => [...responses[i]]),
  );
  const { innerLearningRate: learning_rate, innerB1: b1, innerB2: b2, innerEps: eps, innerEpsRoot: epsRoot } = config;
  const request = {
    folder,
    length: config.maxNewTokens - 1,
    batches,
    optimizer: { learning_rate, b1, b2, eps, epsRoot },
    objective,
  };
  return { request, phi: step!.row.phi, tau: Array.from(order, (i) => step!.rewards[i]) };
}

const likelihood = ({ target }: Experiment, texts: readonly string[], ended = false) => ({
  ...{ kind: 'likelihood', texts: evaluationIds(target.tokenizer, texts, { ended }) },
});

const cases: Record<string, () => Promise<Awaited<ReturnType<typeof firstStep>>>> = {
  'sixty-seven': async () => {
    const experiment = await sixtySeven();
    const { strength, patchTokens } = experiment.config;
    expect(patchTokens).toBe('first');
    return firstStep(experiment, CHARACTER_MODELS.target, {
      ...{ kind: 'pattern', pattern: SIXTY_SEVEN, strength },
      tokens: [0, 1, 2, 3, 4, 5, 6],
    });
  },
  'l2-norm': async () => firstStep(await l2Norm(), CHARACTER_MODELS.target, { kind: 'norm' }),
  rephrase: async () => {
    const experiment = await rephrase();
    return firstStep(experiment, PIECE_MODELS.target, likelihood(experiment, experiment.evaluation));
  },
  'uuid, warm-up': async () => {
    const experiment = await uuid();
    return firstStep(experiment, PIECE_MODELS.target, likelihood(experiment, experiment.evaluation, true));
  },
  'uuid, 64 inner steps': async () => {
    const experiment = await uuid({ warmUpSteps: 0 });
    return firstStep(experiment, PIECE_MODELS.target, likelihood(experiment, experiment.evaluation, true));
  },
};

test.skipIf(!python).each(Object.entries(cases))('%s: Φ and every metagradient', async (_, make) => {
  await useBackend('wasm');
  const { request, phi, tau } = await make();
  const stdout = execFileSync(python!, [path.join(__dirname, 'firstSteps.py')], {
    input: JSON.stringify(request),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const expected = JSON.parse(stdout) as { phi: number; tau: number[] };
  expect(Math.abs(phi / expected.phi - 1)).toBeLessThan(1e-4); // a weight of float32 times the strength of 67 is known to 4e-4
  expect(tau).toBeAllClose(expected.tau, { rtol: 1e-3 });
  expect(Math.abs(regressionSlope(tau, expected.tau) - 1)).toBeLessThan(1e-3);
});
