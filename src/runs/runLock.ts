/**
 * One writer per run folder: a file with the owner's process id. The lock of a process that is gone is taken over.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { writeError, writeFileAtomic } from '../files/atomicFile';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in ticks since boot (Linux), else null: tells a reused process id from the owner's. */
  readonly started: string | null;
}

/**
 * Takes the lock of a run folder.
 *
 * @returns releases the lock; harmless when called twice
 * @throws Error naming the process that writes there, and the way out
 */
export function lockRun(folder: string): () => void {
  const path = join(folder, 'run.lock');
  const self: Owner = { pid: process.pid, host: hostname(), started: startTime(process.pid) };
  if (!createNew(path, JSON.stringify(self))) takeOver(path, self);
  let held = true;
  return () => {
    if (held) rmSync(path, { force: true });
    held = false;
  };
}

/** Replaces the lock of a dead process. A second lock keeps two processes from doing so at once. */
function takeOver(path: string, self: Owner): void {
  const guard = `${path}.takeover`;
  refuseLivingOwner(path);
  if (!createNew(guard, JSON.stringify(self))) {
    refuseLivingOwner(guard);
    rmSync(guard, { force: true }); // its maker died while it took over
    if (!createNew(guard, JSON.stringify(self))) throw new Error(`another process is just taking over ${path}`);
  }
  try {
    refuseLivingOwner(path); // it may have changed hands before we held the guard
    writeFileAtomic(path, JSON.stringify(self)); // a rename: at no moment is there no lock
  } finally {
    rmSync(guard, { force: true });
  }
}

function refuseLivingOwner(path: string): void {
  const owner = readOwner(path);
  if (owner === null) {
    if (age(path) < 10) throw new Error(`another process is just taking ${path}`);
    return; // unreadable for long: its writer died before it had written
  }
  const who = `process ${owner.pid} on ${owner.host}`;
  if (owner.host !== hostname()) throw new Error(`${who} writes into this run; if it is gone, delete ${path}`);
  if (owner.pid === process.pid && owner.started === startTime(process.pid))
    throw new Error(`this process already writes into the run of ${path}: close() it first`);
  if (isAlive(owner)) throw new Error(`${who} writes into this run: stop it or choose another folder (${path})`);
}

function readOwner(path: string): Owner | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner;
  } catch {
    return null;
  }
}

function isAlive({ pid, started }: Owner): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false; // EPERM: alive, another user's
  }
  return started === null || startTime(pid) === started;
}

/** Field 22 of /proc/pid/stat; the command name before it may hold spaces and brackets. Null where there is no /proc. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return null;
  }
}

/** Seconds since the file was written; infinite when it is gone. */
function age(path: string): number {
  const written = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return written === undefined ? Infinity : (Date.now() - written) / 1000;
}

/** Makes a file unless there is one. */
function createNew(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw writeError(path, error);
  }
}
