/** What asks a command to end early: Ctrl-C, a batch system's signals, a terminal that is closed, a reader of the output that has gone. */

/** Signals by the exit code that shells expect after them: 128 and the signal's number. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** What Slurm is asked to send before a job's time is over or another one takes its place; elsewhere Node's debugger listens to it. */
export const TIME_IS_UP = { SIGUSR1: 138 } as const;
const BROKEN_PIPE = 141;

/** A wish to end that came from outside. */
export interface StopRequest {
  /** Aborts at the first wish; the second signal of a kind ends the process at once. */
  readonly signal: AbortSignal;
  /** What to end with, once the signal is aborted. */
  exitCode(): number;
  /** Listens no longer. */
  dispose(): void;
}

/** Listens for signals, with those of `more` and their exit codes, and for output that cannot be written. */
export function stopRequest(more: Readonly<Record<string, number>> = {}): StopRequest {
  const stop = new AbortController();
  let code = 0;
  const request = (wanted: number): void => {
    code ||= wanted;
    stop.abort();
  };
  const handlers = Object.entries({ ...SIGNALS, ...more }).map(
    ([name, exit]) => [name as NodeJS.Signals, () => request(exit)] as const,
  );
  for (const [name, handler] of handlers) process.once(name, handler);
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE' && !stop.signal.aborted) console.error(`dpg: cannot write the output: ${error.message}`);
    request(error.code === 'EPIPE' ? BROKEN_PIPE : 1);
  };
  for (const stream of STREAMS) stream.on('error', onOutputError);
  return {
    signal: stop.signal,
    exitCode: () => code,
    dispose() {
      for (const [name, handler] of handlers) process.off(name, handler);
      for (const stream of STREAMS) stream.off('error', ignore).on('error', ignore).off('error', onOutputError);
    },
  };
}

const STREAMS = [process.stdout, process.stderr];

/** What was on its way to a reader who has gone fails later. */
const ignore = (): void => {};
