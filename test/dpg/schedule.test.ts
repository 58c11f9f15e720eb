import { beforeAll, expect, it } from 'vitest';
import type { Experiment } from '../../src/dpg/experiment';
import { startTraining, train } from '../../src/dpg/train';
import type { Objective } from '../../src/learn/objective';
import { useBackend } from '../support/backend';
import { tinyExperiment } from '../support/tinyExperiment';

beforeAll(() => useBackend('wasm'));

it('schedules follow what has been reached where it is ahead of the clock, also after a stop; what else changes goes by steps', async () => {
  const reached = [0.5, 0.25, 0, 0.75, 0, 1, 0, 0, 0];
  const [positions, steps]: number[][] = [[], []];
  const experiment = tinyExperiment({ steps: 9, prompts: 2 });
  const scheduled: Experiment = {
    ...experiment,
    objective: { at: (step) => (positions.push(step), experiment.objective as Objective) },
    configAt: (step) => (steps.push(step), {}),
    observe: () => ({ metrics: {}, reached: reached[steps.length - 1] }),
  };
  const state = startTraining(scheduled);
  for await (const { row } of train({ ...scheduled, state })) if (row.step === 3) break;
  for await (const _ of train({ ...scheduled, state }));
  expect(positions).toEqual([0, 4, 4, 4, 6, 6, 8, 8, 8]);
  expect(steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
