/**
 * A worker thread of the fused engine: one performer, one task at a time. What it throws ends the thread and reaches the pool
 * as an error.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { performer, type Kind, type Work } from './tasks';
import type { WorkerSettings } from './pool';

const { layers, options } = workerData as WorkerSettings;
const perform = performer(layers, options);

parentPort!.on('message', ({ kind, task }: { kind: Kind; task: Work[Kind]['task'] }) => {
  parentPort!.postMessage(perform(kind, task));
});
