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
import { fileSize, hashFile, makeFolder, syncFile, writeError } from '../../files/atomicFile';

/** A file as the hub lists it. */
export interface HubFile {
  readonly name: string;
  readonly size: number;
  /** SHA-256 of the content (large files, 64 digits) or Git's SHA-1 of the blob (40 digits): the name of the blob in the cache. */
  readonly hash: string;
}

/** The content of a file from a byte on. */
export type OpenFile = (from: number) => Promise<ReadableStream<Uint8Array>>;

/** Brings a file into `blobs/` of a repository's cache, unless it is there, and links it into the folder of a snapshot. */
export async function fetchFile(
  file: HubFile,
  { store, snapshot }: { store: string; snapshot: string },
  open: OpenFile,
  report: (bytes: number) => void,
): Promise<void> {
  const link = join(snapshot, file.name);
  if (isWhole(link, file)) return;
  const blob = join(store, 'blobs', file.hash);
  makeFolder(dirname(blob));
  makeFolder(snapshot);
  try {
    if (!isWhole(blob, file)) await download(file, blob, open, report);
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

async function download(file: HubFile, blob: string, open: OpenFile, report: (bytes: number) => void): Promise<void> {
  const partial = claimPartial(blob);
  try {
    while (fileSize(partial) < file.size) {
      const before = fileSize(partial);
      const broken = await append(partial, file.size, await open(before), report);
      if (fileSize(partial) === before) throw brokenOff(file, before, broken ?? 'the answer was empty'); // no byte more: give up for now
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

/** Appends a stream to a file, no further than the chunk that makes it longer than `size`. @returns the error that broke the stream off, if one did */
async function append(
  path: string,
  size: number,
  stream: ReadableStream<Uint8Array>,
  report: (bytes: number) => void,
): Promise<unknown> {
  const reader = stream.getReader();
  const fd = fs.openSync(path, 'a');
  try {
    for (;;) {
      const result = await reader.read().catch((error: unknown) => ({ error: error ?? new Error('the connection broke') }));
      if ('error' in result) return result.error;
      if (result.done) return undefined;
      fs.writeFileSync(fd, result.value);
      const bytes = fs.fstatSync(fd).size;
      report(Math.min(bytes, size));
      if (bytes > size) return undefined; // found damaged
    }
  } finally {
    fs.closeSync(fd);
    await reader.cancel().catch(() => undefined);
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
