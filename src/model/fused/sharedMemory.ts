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
  readonly parameters: (params: Params) => SharedParameters;
  readonly tangent: (params: Params) => ArrayBufferLike;
  /** Where worker i leaves its share of a gradient. */
  readonly partial: (i: number) => ArrayBufferLike;
  /** The sum of the first `count` partial gradients, in their order, as new tensors. */
  readonly sum: (count: number) => Promise<Params>;
}

export function sharedMemory(layout: Layout, team: Team): SharedMemory {
  const Memory = typeof SharedArrayBuffer === 'function' ? SharedArrayBuffer : ArrayBuffer; // without threads any memory does
  const buffers = new Map<string, ArrayBufferLike>();
  const buffer = (name: string): ArrayBufferLike => {
    const found = buffers.get(name) ?? new Memory(4 * layout.length);
    buffers.set(name, found);
    return found;
  };
  let current: tf.Tensor['dataId'][] = [];
  let version = 0;
  return {
    parameters(params) {
      const tensors = orderedTensors(layout, params);
      const values = buffer('parameters');
      if (!tensors.every(({ dataId }, i) => dataId === current[i])) {
        writeTensors(layout, tensors, new Float32Array(values));
        current = tensors.map(({ dataId }) => dataId);
        version++;
      }
      return { values, version };
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
