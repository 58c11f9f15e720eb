/**
 * The stop button: Jupyter sends SIGINT, tslab fails the cell, and loops that were given {@link stopSignal} end at their next step.
 */
import { setMaxListeners } from 'node:events';
import { inKernel } from './tslab';

let controller = newController();

function newController(): AbortController {
  const fresh = new AbortController();
  setMaxListeners(0, fresh.signal);
  return fresh;
}

function stop(): void {
  const stopped = controller;
  controller = newController();
  stopped.abort(new Error('interrupted'));
}

/** A signal that the next press of the stop button aborts; what starts after that press gets a fresh one. */
export const stopSignal = (): AbortSignal => controller.signal;

// tslab runs the synchronous part of a cell with vm's `breakOnSigint`, which swaps the listeners: one added in it, as by an import,
// would let the next SIGINT kill the kernel. Hence not before the next turn of the event loop.
if (inKernel()) setImmediate(() => process.on('SIGINT', stop));
