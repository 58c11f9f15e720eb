/** Parameters between tfjs tensors and the flat array the workers share. */
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../../tensor/params';
import type { Layout, Slot } from './layout';

function checked(params: Params, { name, shape }: Slot): tf.Tensor {
  const tensor = params[name];
  if (!tensor) throw new Error(`parameter ${name} is missing (got ${Object.keys(params).length} parameters)`);
  if (tensor.dtype !== 'float32' || !tf.util.arraysEqual(tensor.shape, shape as number[]))
    throw new Error(`parameter ${name} must be float32 [${shape}] (got ${tensor.dtype} [${tensor.shape}])`);
  return tensor;
}

/**
 * The tensors in the layout's order.
 * @throws naming the parameter that is missing, of the wrong shape, or unknown to the model
 */
export function orderedTensors(layout: Layout, params: Params): tf.Tensor[] {
  const tensors = layout.slots.map((slot) => checked(params, slot));
  const known = new Set(layout.slots.map(({ name }) => name));
  const unknown = Object.keys(params).find((name) => !known.has(name));
  if (unknown) throw new Error(`parameter ${unknown} does not belong to this model`);
  return tensors;
}

/** Copies {@link orderedTensors} into a flat array. */
export function writeTensors(layout: Layout, tensors: readonly tf.Tensor[], flat: Float32Array): void {
  layout.slots.forEach(({ offset }, i) => flat.set(tensors[i].dataSync<'float32'>(), offset));
}

/** New tensors from a flat array. */
export function readParams(layout: Layout, flat: Float32Array): Params {
  const tensor = ({ offset, size, shape }: Slot) => tf.tensor(flat.slice(offset, offset + size), [...shape], 'float32');
  return Object.fromEntries(layout.slots.map((slot) => [slot.name, tensor(slot)]));
}
