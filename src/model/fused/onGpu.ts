/**
 * The fused engine on a GPU: the layers record kernels instead of computing, parameters, tangents and gradients are tfjs's own buffers, and
 * an operation's numbers come back in one read.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { gpuTensors, tracked } from '../../tensor/gpuTensors';
import type { Pointer } from '../../tensor/kernels/kernels';
import { gpuKernels } from '../../tensor/kernels/webgpu/kernels';
import type { Params } from '../../tensor/params';
import { runningGpu } from '../../tensor/webgpu';
import { checked } from '../checks';
import type { ModelConfig } from '../families';
import type { Layers } from '../families/layers';
import type { LanguageModel } from '../types';
import { gradient, hessianVectorProduct, logProbs, policyGradient, tokenTangents } from './model';
import { parameterLayout, parametersAt, type Slot } from './layout';
import { exampleLosses, policyMeans, policyWeight, tokenShares } from './operations';
import { orderedTensors } from './parameters';
import { sample } from './sampling';
import { layersOf } from './support';
import type { Portions, Region, Workspace } from './workspace';

/**
 * For GPUs: enough rows to keep all of it busy. No adapter tells how much memory is free; a GPU has at least as much as its largest buffer.
 */
export const gpuPortions = (maxBufferSize: number): Portions => ({
  activationBytes: Math.min(2 ** 31, maxBufferSize),
  microbatchRows: 4096,
  sampledRows: 512,
  logitBytes: 64 * 2 ** 20,
});

interface GpuWorkspace extends Workspace {
  /** Where the region's tensors lie during the operation that follows. */
  readonly bind: (name: string, tensors: readonly tf.TensorInfo[]) => void;
}

function gpuWorkspace(layers: Layers, portions?: Partial<Portions>): GpuWorkspace {
  const layout = parameterLayout(layers.shapes);
  const { recorder, bufferOf } = gpuTensors();
  const k = gpuKernels(recorder);
  const regions = new Map<string, Region>();
  return {
    ...{ layers, layout, k, memory: recorder.memory },
    portions: { ...gpuPortions(recorder.device.limits.maxBufferSize), ...portions },
    region: (name) => regions.get(name)!,
    bind(name, tensors) {
      const places = new Map<Slot, Pointer>();
      layout.slots.forEach((slot, i) => places.set(slot, recorder.buffers.pointerTo(bufferOf(tensors[i]))));
      const clear = () => places.forEach((at, { size }) => k.zero(size, at));
      regions.set(name, { pointers: parametersAt(layers, layout, (slot) => places.get(slot)!), clear });
    },
  };
}

/** How an operation runs: on the trees bound to the regions of their names, with all numbers there when it resolves. */
function performer(w: GpuWorkspace) {
  const { recorder, empty, submit } = gpuTensors();
  const { slots } = w.layout;
  /** @param record - returns numbers that are filled in later */
  const perform = async <R>(trees: Readonly<Record<string, Params>>, record: () => R): Promise<R> => {
    for (const [name, params] of Object.entries(trees)) w.bind(name, orderedTensors(w.layout, params));
    submit();
    let values: R;
    try {
      values = record();
    } catch (error) {
      recorder.abandon();
      throw error;
    }
    await recorder.finish();
    return values;
  };
  /** The same for what leaves a tree in the region `result`. */
  const performTo = async <R>(
    trees: Readonly<Record<string, Params>>,
    record: () => R,
  ): Promise<{ values: R; result: Params }> => {
    const tensors = slots.map(({ shape }) => tracked(empty(shape)));
    w.bind('result', tensors);
    try {
      return { values: await perform(trees, record), result: Object.fromEntries(slots.map(({ name }, i) => [name, tensors[i]])) };
    } catch (error) {
      tensors.forEach((tensor) => tensor.dispose());
      throw error;
    }
  };
  return { perform, performTo };
}

/**
 * A model of a family whose layers the fused engine has, on the GPU that has been started.
 * @throws Error for a family whose layers it does not have
 */
export function gpuModel<C extends ModelConfig>(config: C, portions?: Partial<Portions>): LanguageModel<C> {
  const w = gpuWorkspace(layersOf(config), portions);
  const { perform, performTo } = performer(w);
  return checked<C>({
    config,
    engine: `fused on ${runningGpu().name}`,
    async gradient(parameters, batch) {
      const { values, result } = await performTo({ parameters }, () => gradient(w, batch, batch.size));
      return { losses: exampleLosses(batch, values), gradient: result };
    },
    async hessianVectorProduct(parameters, batch, tangent, { product = true } = {}) {
      const trees = { parameters, tangent };
      if (!product)
        return { tokenTangents: tokenShares(batch, await perform(trees, () => tokenTangents(w, batch))), product: null };
      const { values, result } = await performTo(trees, () => hessianVectorProduct(w, batch, batch.size));
      return { tokenTangents: tokenShares(batch, values), product: result };
    },
    async logProbs(parameters, batch, temperature = 1) {
      return perform({ parameters }, () => logProbs(w, batch, temperature));
    },
    async policyGradient(parameters, batch, terms) {
      const coefficients = { ...terms, weight: policyWeight(batch) };
      const { values, result } = await performTo({ parameters }, () => policyGradient(w, batch, terms, coefficients));
      return { gradient: result, logProbs: values.logProbs, ...policyMeans(batch, [values]) };
    },
    async sample(parameters, prompts, options) {
      const { reference, minP } = options;
      return perform({ parameters, ...(minP && reference && { reference }) }, () => sample(w, prompts, options));
    },
    dispose: () => undefined, // the device is shared
  });
}
