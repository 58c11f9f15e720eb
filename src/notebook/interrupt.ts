/**
 * The stop button: Jupyter sends SIGINT, and loops that were given {@link stopSignal} end at their next step.
 *
 * tslab would fail the cell at once and leave its loop running behind it. So it hears of a press only where no watched loop is left to end:
 * a stopped cell ends by itself, with what its loop has reached, and a second press fails a cell that takes too long to.
 */
import { setMaxListeners } from 'node:events';

let controller = newController();
/** The signals of the watched loops that have not ended. */
const loops = new Map<Promise<void>, AbortSignal>();

function newController(): AbortController {
  const fresh = new AbortController();
  setMaxListeners(0, fresh.signal);
  return fresh;
}

/** A signal that the next press of the stop button aborts; what starts after that press gets a fresh one. */
export const stopSignal = (): AbortSignal => controller.signal;

/** Notes a loop that ends by itself when the current {@link stopSignal} is aborted; to be called when it has ended. */
export function registerLoop(): () => void {
  let resolve = () => {};
  const ended = new Promise<void>((done) => (resolve = done));
  loops.set(ended, stopSignal());
  return () => {
    loops.delete(ended);
    resolve();
  };
}

/** Settles when the loops that were stopped have ended: one may still be in its last step when its cell is run again. */
export async function stoppedLoops(): Promise<void> {
  await Promise.all([...loops].filter(([, { aborted }]) => aborted).map(([ended]) => ended));
}

/** Stops what runs; true where that is enough to end a watched loop. */
function stop(): boolean {
  const ending = [...loops.values()].includes(controller.signal);
  const stopped = controller;
  controller = newController();
  stopped.abort(new Error('interrupted'));
  return ending;
}

/** Puts {@link stop} before whoever listens for SIGINT now, which is tslab. */
function listenFirst(): void {
  const others = process.rawListeners('SIGINT') as NodeJS.SignalsListener[];
  process.on('SIGINT', (...signal) => {
    if (!stop()) for (const listener of others) listener(...signal);
  });
  for (const listener of others) process.off('SIGINT', listener);
}

/**
 * Has the stop button end watched loops; within a kernel only. tslab runs the synchronous part of a cell with vm's `breakOnSigint`, which
 * swaps the listeners: one added in it, as by an import, would let the next SIGINT kill the kernel. Hence at the next turn of the event
 * loop.
 */
export const installStopButton = (): void => void setImmediate(listenFirst);
