/**
 * What a run costs, estimated from the shapes of its models before it starts.
 */
import { familyOf, parameterShapes, type ModelConfig } from '../model/families';
import type { Config } from './config';
import { parameterCount, type ModelPair } from './memory';

/** What a GRPO step costs. */
export interface Cost {
  /** Tokens that the generator reads or writes, and that the target learns from. */
  readonly tokens: { readonly generator: number; readonly target: number };
  /** Floating-point operations. */
  readonly flop: number;
}

/** Parameters that multiply every token: all but the embeddings, which are only looked up. */
function multiplied(config: ModelConfig): number {
  const shapes = parameterShapes(config);
  const lookedUp = familyOf(config).names.embeddings.reduce((sum, name) => sum + shapes[name].reduce((a, b) => a * b), 0);
  return parameterCount(config) - lookedUp;
}

/**
 * Cost of a step in units of 2 operations per token and parameter (one forward pass): sampling 1, and 1 more where the
 * untrained generator says what may be written; the generator's update 3, and 1 more for
 * the KL term; the target's fine-tuning 3, once more where segments are recomputed; the metagradient's pass on dual numbers 6, but only its
 * forward half, 2, for the first step. Attention over long texts is left out.
 */
export function stepCost({ generator, target }: ModelPair, config: Config): Cost {
  const { prompts, groupSize, promptLength, maxNewTokens, supportMinP, epochs, klCoef, innerSteps, reward } = config;
  const examples = prompts * groupSize;
  const tokens = { generator: examples * (promptLength + maxNewTokens), target: examples * (maxNewTokens - 1) };
  const ofGenerator = 1 + (supportMinP > 0 ? 1 : 0) + epochs * (3 + (klCoef > 0 ? 1 : 0));
  const backwards = (6 * (innerSteps - 1) + 2) / innerSteps;
  const ofTarget = 3 + (reward === 'metagradient' ? (innerSteps > 1 ? 3 : 0) + backwards : 0);
  const flop = 2 * (tokens.generator * multiplied(generator) * ofGenerator + tokens.target * multiplied(target) * ofTarget);
  return { tokens, flop };
}

/** Operations per second that a GPU and this project's engine on two cores sustain, roughly. */
const [GPU, CPU] = [1e14, 6e10];

/** One line for people. */
export function describeCost(models: ModelPair, config: Config): string {
  const { tokens, flop } = stepCost(models, config);
  const count = (n: number): string => n.toLocaleString('en-US', { maximumSignificantDigits: 2 });
  const hours = (speed: number): string => count((flop * config.steps) / speed / 3600);
  return (
    `cost: ${count(tokens.generator)} tokens of the generator and ${count(tokens.target)} of the target a step, ${flop.toExponential(1)} FLOP; ` +
    `${count(config.steps)} steps take about ${hours(GPU)} GPU hours (at 100 TFLOP/s) or ${hours(CPU)} hours of two CPU cores (at 60 GFLOP/s)`
  );
}
