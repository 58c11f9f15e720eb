/** Parameters, tangents and gradients between tfjs and the workers: flat arrays in shared memory, made when first needed. */
import type * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../../tensor/params';
import type { Layout } from './layout';
import { orderedTensors, readParams, writeTensors } from './parameters';
import type { Team } from './pool';
import { ranges } from './shards';
import type { SharedParameters } from './tasks';

export interface SharedMemory {
  /** Copies the parameters, unless they are the tensors that were copied last (tensors never change). */
  readonly parameters: (params: Params, name?: 'parameters' | 'reference') => SharedParameters;
  readonly tangent: (params: Params) => ArrayBufferLike;
  /** Where worker i leaves its share of a gradient. */
  readonly partial: (i: number) => ArrayBufferLike;
  /** The sum of the first `count` partial gradients, in their order, as new tensors. */
  readonly sum: (count: number) => Promise<Params>;
}

/** No tensors were copied yet. */
const nothing = (): { tensors: tf.Tensor['dataId'][]; version: number } => ({ tensors: [], version: 0 });

export function sharedMemory(layout: Layout, team: Team): SharedMemory {
  const Memory = typeof SharedArrayBuffer === 'function' ? SharedArrayBuffer : ArrayBuffer; // without threads any memory does
  const buffers = new Map<string, ArrayBufferLike>();
  const buffer = (name: string): ArrayBufferLike => {
    const found = buffers.get(name) ?? new Memory(4 * layout.length);
    buffers.set(name, found);
    return found;
  };
  const copied = { parameters: nothing(), reference: nothing() };
  return {
    parameters(params, name = 'parameters') {
      const tensors = orderedTensors(layout, params);
      const values = buffer(name);
      const current = copied[name];
      if (!tensors.every(({ dataId }, i) => dataId === current.tensors[i])) {
        writeTensors(layout, tensors, new Float32Array(values));
        current.tensors = tensors.map(({ dataId }) => dataId);
        current.version++;
      }
      return { values, version: current.version };
    },
    tangent(params) {
      const values = buffer('tangent');
      writeTensors(layout, orderedTensors(layout, params), new Float32Array(values));
      return values;
    },
    partial: (i) => buffer(`partial ${i}`),
    async sum(count) {
      const parts = Array.from({ length: count }, (_, i) => buffer(`partial ${i}`));
      const share = ([from, to]: [number, number]) => ({ parts, from, to });
      if (count > 1) await team.run('reduce', ranges(layout.length, count).map(share));
      return readParams(layout, new Float32Array(parts[0]));
    },
  };
}
