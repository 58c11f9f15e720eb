/**
 * One writer per run folder, and the one place that tells whether a run is alive.
 *
 * The lock is a folder `run.lock` with its owner in it. It appears whole, by a rename that fails where another one lies, and the lock of a
 * process that is gone is taken over. Its age says nothing: a step may keep a process from showing signs of life for hours.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../files/json';
import { temporaryName, writeError } from '../files/atomicFile';

/** Name of the lock in a run folder. */
export const LOCK = 'run.lock';

const ownerSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  /** When the process started, in ticks since boot (Linux), else null: tells a reused process id from the owner's. */
  started: z.string().nullable(),
  /** Different for every lock. */
  token: z.string(),
  /** The batch job that it is part of, and how often that was started again, where there is one. */
  job: z.object({ id: z.string(), restarts: z.int().nonnegative() }).optional(),
});
type Owner = z.infer<typeof ownerSchema>;

/** A lock that this process holds. */
export interface RunLock {
  /** @throws Error if the lock is no longer this process's: two must not write */
  check(): void;
  /** Harmless when called twice. */
  release(): void;
}

/**
 * The living process that writes into a run folder, or null; one on another host counts as living, but for an earlier start of this batch
 * job.
 */
export function livingOwner(folder: string): { readonly pid: number; readonly host: string } | null {
  const owner = readOwner(join(folder, LOCK));
  return owner && isAlive(owner) ? owner : null;
}

/**
 * Takes the lock of a run folder.
 *
 * @throws Error naming the process that writes there, and the way out
 */
export function lockRun(folder: string): RunLock {
  const path = join(folder, LOCK);
  const owner: Owner = { pid: process.pid, host: hostname(), started: startTime(process.pid), token: randomUUID(), job: ownJob() };
  const prepared = temporaryName(path);
  try {
    mkdirSync(prepared);
    writeFileSync(join(prepared, 'owner.json'), JSON.stringify(owner));
    for (let tries = 0; !renamed(prepared, path); tries++) {
      if (tries === 10) throw new Error(`other processes are just taking ${path}: try again`);
      removeDead(path);
    }
  } catch (error) {
    rmSync(prepared, { recursive: true, force: true });
    throw writeError(path, error);
  }
  const isOwn = (): boolean => readOwner(path)?.token === owner.token;
  return {
    check() {
      if (isOwn()) return;
      throw new Error(`${path} is no longer this process's: it writes no more; resume the run when no other process writes there`);
    },
    release() {
      if (isOwn()) remove(path);
    },
  };
}

/** Renames a folder onto a path unless something lies there. */
function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (existsSync(to)) return false;
    throw error;
  }
}

/** Removes the lock of a process that is gone. @throws Error naming the process if it is alive */
function removeDead(path: string): void {
  const owner = readOwner(path);
  if (owner) refuseLiving(path, owner);
  const aside = temporaryName(path);
  if (!existsSync(path) || !renamed(path, aside)) return;
  const taken = readOwner(aside);
  if (taken && taken.token !== owner?.token) renamed(aside, path); // another process had taken it over in between: it is theirs
  rmSync(aside, { recursive: true, force: true });
}

/** So that a crash leaves no lock without an owner. */
function remove(path: string): void {
  const aside = temporaryName(path);
  renameSync(path, aside);
  rmSync(aside, { recursive: true, force: true });
}

function refuseLiving(path: string, owner: Owner): void {
  const who = `process ${owner.pid} on ${owner.host}`;
  if (owner.host !== hostname() && isAlive(owner)) throw new Error(`${who} writes into this run; if it is gone, delete ${path}`);
  if (owner.pid === process.pid && owner.started === startTime(process.pid))
    throw new Error(`this process already writes into the run of ${path}: close() it first`);
  if (isAlive(owner)) throw new Error(`${who} writes into this run: stop it or choose another folder (${path})`);
}

/** Null where there is no lock, or one that says nothing: it was not written by {@link lockRun}. */
function readOwner(path: string): Owner | null {
  try {
    return readJson(join(path, 'owner.json'), ownerSchema);
  } catch {
    return null;
  }
}

/** The job of Slurm that this process is part of. */
function ownJob({ SLURM_JOB_ID: id, SLURM_RESTART_COUNT: restarts = '0' } = process.env): Owner['job'] {
  return id === undefined ? undefined : { id, restarts: Number(restarts) };
}

/** Slurm starts a job again, perhaps on another machine, only after it has ended or its machine is lost. */
function isEarlierStart(job: Owner['job']): boolean {
  const own = ownJob();
  return job !== undefined && job.id === own?.id && job.restarts < own.restarts;
}

function isAlive({ pid, host, started, job }: Owner): boolean {
  if (host !== hostname()) return !isEarlierStart(job);
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
