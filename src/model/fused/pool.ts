/** A team that shares out tasks: worker threads, or the calling thread alone. */
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Layers } from '../families/layers';
import { performer, type Kind, type Work } from './tasks';
import type { WorkspaceOptions } from './workspace';

export interface WorkerSettings {
  readonly layers: Layers;
  readonly options?: WorkspaceOptions;
}

export interface Team {
  /** How many tasks run at once. */
  readonly size: number;
  /** Performs at most `size` tasks of one kind, task i on worker i; one call at a time. */
  run<K extends Kind>(kind: K, tasks: readonly Work[K]['task'][]): Promise<Work[K]['result'][]>;
  /** Ends the workers; a pending call rejects. */
  readonly stop: () => void;
}

/** The calling thread as a team of one: no threads, but it blocks for a task; between tasks the event loop turns. */
export function callingThread({ layers, options }: WorkerSettings): Team {
  const perform = performer(layers, options);
  return {
    size: 1,
    async run(kind, tasks) {
      await setImmediate();
      return tasks.map((task) => perform(kind, task));
    },
    stop: () => undefined,
  };
}

/** Worker threads cannot load TypeScript, so from src/ the built file is used. */
const WORKER_FILE = __filename.endsWith('.ts')
  ? path.resolve(__dirname, '../../../dist/model/fused/worker.js')
  : path.join(__dirname, 'worker.js');

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A pool of worker threads, started when first needed. While idle they do not keep the process alive. If one throws or dies, all are
 * ended, the pending call rejects with its error, and so does every later call.
 */
export function workerThreads(size: number, settings: WorkerSettings): Team {
  const workers: Worker[] = [];
  const pending = new Map<Worker, Pending>();
  let failure: Error | null = null;

  const fail = (error: Error): void => {
    if (failure) return;
    failure = error;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
    for (const worker of workers) void worker.terminate();
  };
  const start = (): Worker => {
    const worker = new Worker(WORKER_FILE, { workerData: settings, execArgv: [] });
    worker.unref();
    worker.on('message', (result: unknown) => {
      const call = pending.get(worker);
      pending.delete(worker);
      worker.unref();
      call?.resolve(result as never);
    });
    worker.on('error', (error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => fail(new Error(`a worker of the fused engine exited with code ${code}`)));
    return worker;
  };
  const post = <K extends Kind>(worker: Worker, kind: K, task: Work[K]['task']): Promise<Work[K]['result']> =>
    new Promise((resolve, reject) => {
      pending.set(worker, { resolve, reject });
      worker.ref();
      worker.postMessage({ kind, task });
    });
  return {
    size,
    run: async (kind, tasks) => {
      if (failure) throw failure;
      while (workers.length < tasks.length) workers.push(start());
      return Promise.all(tasks.map((task, i) => post(workers[i], kind, task)));
    },
    stop: () => fail(new Error('the model has been disposed')),
  };
}
