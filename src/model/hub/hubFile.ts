/**
 * One file of the Hugging Face hub in the cache that Python's `huggingface_hub` shares: `blobs/<hash>` holds the bytes,
 * `snapshots/<commit>/<name>` is a link to them.
 *
 * A blob gets its name only when its size and hash are those that the hub states, so nothing half-written is ever used; what a broken
 * connection leaves behind is gone on with, also by a later process.
 */
import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Patience } from './access';
import { pauseAfter, TRIES, UnreachableError, type Content } from './http';
import { fileSize, hashFile, makeFolder, syncFile, writeError } from '../../files/atomicFile';

/** A file as the hub lists it. */
export interface HubFile {
  readonly name: string;
  readonly size: number;
  /** SHA-256 of the content (large files, 64 digits) or Git's SHA-1 of the blob (40 digits): the name of the blob in the cache. */
  readonly hash: string;
}

/** Where the content of a file comes from, from a byte on; breaks are thrown as {@link UnreachableError}. */
export interface HubContent {
  readonly open: (from: number) => Promise<Content>;
  /** Told how much of the file is there. */
  readonly report: (bytes: number) => void;
  readonly patience: Patience;
}

/** Brings a file into `blobs/` of a repository's cache, unless it is there, and links it into the folder of a snapshot. */
export async function fetchFile(
  file: HubFile,
  { store, snapshot }: { store: string; snapshot: string },
  content: HubContent,
): Promise<void> {
  const link = join(snapshot, file.name);
  if (isWhole(link, file)) return;
  const blob = join(store, 'blobs', file.hash);
  makeFolder(dirname(blob));
  makeFolder(snapshot);
  try {
    if (!isWhole(blob, file)) await download(file, blob, content);
    placeLink(blob, link);
  } catch (error) {
    throw writeError(blob, error);
  }
}

/** Whether a file's bytes are those its blob is named after; true where the name is no hash (caches without links). */
export function isUndamaged(link: string): boolean {
  const blob = fs.realpathSync(link);
  const hash = basename(blob);
  return !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) || hashOf(blob, hash) === hash;
}

const isWhole = (path: string, { size, hash }: HubFile): boolean =>
  fs.existsSync(path) && fs.statSync(path).size === size && hashOf(path, hash) === hash;

/** The hash of a file, of the kind that `expected` is. */
function hashOf(path: string, expected: string): string {
  const size = fs.statSync(path).size;
  const hash: Hash = expected.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  return hashFile(path, hash);
}

const PROGRESS = 1e6; // bytes; an answer that brings fewer before it breaks counts as a failed try

async function download(file: HubFile, blob: string, content: HubContent): Promise<void> {
  const partial = claimPartial(blob);
  try {
    for (let failed = 0; fileSize(partial) < file.size;) {
      const before = fileSize(partial);
      const broken = await append(partial, file.size, content);
      const after = fileSize(partial);
      if (after >= file.size) break;
      failed = after - before >= PROGRESS ? 1 : failed + 1;
      if (failed === TRIES) throw brokenOff(file, after, broken ?? 'the answer was empty');
      await pauseAfter(failed, content.patience);
    }
  } finally {
    if (fileSize(partial) === 0 && file.size > 0) fs.rmSync(partial); // nothing to go on with
  }
  syncFile(partial);
  if (!isWhole(partial, file)) {
    fs.rmSync(partial);
    throw new Error(`${file.name} arrived damaged (size or hash is not what the hub states) and was thrown away: try again`);
  }
  fs.renameSync(partial, blob);
}

const brokenOff = ({ name, size }: HubFile, bytes: number, cause: unknown): Error =>
  new Error(
    `${name}: the connection broke after ${bytes} of ${size} bytes (${cause instanceof Error ? cause.message : String(cause)}); ` +
      'try again to go on from there',
    { cause },
  );

/** A file of this process's own to append to: what an earlier attempt, or a process that is gone, left of the blob, if anything. */
function claimPartial(blob: string): string {
  const own = `${blob}.${process.pid}.incomplete`;
  const pattern = new RegExp(`^${basename(blob)}\\.(\\d+)\\.incomplete$`);
  const abandoned = fs.readdirSync(dirname(blob)).find((name) => {
    const pid = Number(pattern.exec(name)?.[1]);
    return pid > 0 && pid !== process.pid && !isRunning(pid);
  });
  if (abandoned && !fs.existsSync(own)) fs.renameSync(join(dirname(blob), abandoned), own);
  fs.closeSync(fs.openSync(own, 'a'));
  return own;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Goes on with a file, no further than the chunk that makes it longer than `size`.
 * @returns the error that broke the connection, if one did
 */
async function append(path: string, size: number, { open, report }: HubContent): Promise<UnreachableError | undefined> {
  const fd = fs.openSync(path, 'r+');
  try {
    const { from, stream } = await open(fs.fstatSync(fd).size);
    fs.ftruncateSync(fd, from);
    let bytes = from;
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length;) at += fs.writeSync(fd, chunk, at, chunk.length - at, bytes + at);
      bytes += chunk.length;
      report(Math.min(bytes, size));
      if (bytes > size) break; // found damaged
    }
  } catch (error) {
    if (error instanceof UnreachableError) return error;
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** Links a blob into a snapshot; where links are not allowed (Windows), copies it. */
function placeLink(blob: string, link: string): void {
  const temporary = `${link}.${process.pid}.incomplete`;
  fs.rmSync(temporary, { force: true });
  try {
    fs.symlinkSync(relative(dirname(link), blob), temporary);
  } catch {
    fs.copyFileSync(blob, temporary);
  }
  fs.renameSync(temporary, link);
}
