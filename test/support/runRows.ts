/** What run folders hold, for tests that need no training. */
import type { MetricsRow } from '../../src/dpg/train';
import type { RunRecord } from '../../src/runs/records';

/** A whole row of metrics.jsonl. */
export const metricsRow = (step: number, more: Readonly<Record<string, number>> = {}): MetricsRow => ({
  step,
  phi: -step,
  reward: 0,
  reward_std: 0,
  frac_reward_zero_std: 0,
  entropy: 0,
  kl: 0,
  'clip_ratio/region_mean': 0,
  grad_norm: 0,
  'completions/mean_length': 1,
  target_loss_first: 0,
  target_loss_last: 0,
  seconds: 1,
  ...more,
});

/** A config.json with these configuration keys. */
export const runRecord = (config: Readonly<Record<string, unknown>> = {}): RunRecord => ({
  config: { experiment: 'tiny', seed: 3, ...config },
  environment: { version: '0.1.0', commit: null, node: 'v20', tfjs: '4.22.0', backend: 'wasm', engine: 'fused', seed: 3 },
});
