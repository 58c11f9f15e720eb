/** The runs of a sweep in processes of their own: `dpg train`, or `dpg train --resume` where one has begun. */
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import path from 'node:path';
import { makeFolder } from '../files/atomicFile';
import { readText } from '../files/json';
import { ROOT } from '../files/paths';
import { lockRun } from '../runs/runLock';
import {
  attemptFolder,
  beginAttempt,
  reportSwept,
  type SweepManifest,
  type SweptReport,
  type SweptRun,
} from '../runs/sweepFolder';
import type { StopRequest } from './stopRequest';

/** The compiled `dpg`. */
export const MAIN = path.join(ROOT, 'dist/cli/main.js');

/** Lines of what a failed run complained of that are kept. */
const ERROR_LINES = 8;

/** Arguments of `dpg` that start a run, or go on with it. */
export function trainArguments(sweep: string, { options }: SweepManifest, run: SweptRun): string[] {
  const folder = path.join(sweep, run.folder);
  const begun = existsSync(path.join(folder, 'config.json'));
  return ['train', ...(begun ? ['--resume', folder] : [...run.arguments, '--out', folder]), ...options];
}

/**
 * Makes one run, unless it is done or another process is making it; a wish to stop ends it after its current step, with a checkpoint.
 * @returns the run as it then is
 */
export async function makeRun(sweep: string, manifest: SweepManifest, run: SweptRun, stop: StopRequest): Promise<SweptReport> {
  const place = attemptFolder(sweep, run);
  makeFolder(place);
  const before = reportSwept(sweep, run);
  if (before.state === 'done' || before.state === 'running') return before;
  const lock = lockRun(place);
  try {
    const end = beginAttempt(place);
    end(await errorOf(place, trainArguments(sweep, manifest, run), stop));
  } finally {
    lock.release();
  }
  return reportSwept(sweep, run);
}

/** Runs `dpg` in a child; what it failed of, or null if it has ended well or was told to stop. */
async function errorOf(place: string, argv: readonly string[], stop: StopRequest): Promise<string | null> {
  const errors = path.join(place, 'errors.log');
  const files = [openSync(path.join(place, 'output.log'), 'a'), openSync(errors, 'w')];
  const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ['ignore', ...files] });
  for (const file of files) closeSync(file);
  // the second signal of a kind ends the child at once, and it may have got this one itself, as all processes of a job do
  const stopChild = (): void => void child.kill(stop.exitCode() === TERMINATED ? 'SIGHUP' : 'SIGTERM');
  if (stop.signal.aborted) stopChild();
  stop.signal.addEventListener('abort', stopChild);
  const [code, killer] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  stop.signal.removeEventListener('abort', stopChild);
  if (code === 0 || stop.signal.aborted) return null;
  const lines = readText(errors).trimEnd().split('\n').slice(-ERROR_LINES).filter(Boolean); // prettier-ignore
  return lines.length && !killer ? lines.join('\n') : `its process has ended with ${killer ?? `exit code ${code}`}`;
}

const TERMINATED = 143;

/** Makes all runs that are not done, `count` at a time; `tell` hears of every one that has ended. */
export async function makeRuns(
  sweep: string,
  manifest: SweepManifest,
  { count, stop, tell }: { count: number; stop: StopRequest; tell: (report: SweptReport) => void },
): Promise<void> {
  EventEmitter.setMaxListeners(0, stop.signal);
  const left = manifest.runs.filter((run) => reportSwept(sweep, run).state !== 'done');
  const worker = async (): Promise<void> => {
    for (let run = left.shift(); run && !stop.signal.aborted; run = left.shift()) tell(await makeRun(sweep, manifest, run, stop));
  };
  await Promise.all(Array.from({ length: count }, worker));
}
