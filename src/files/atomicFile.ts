/**
 * Files and folders that are whole or absent: written under a temporary name beside the target, flushed, then renamed.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';

/** Written last into every folder of {@link writeFolderAtomic}: the files that belong to it, with size and SHA-256. */
export const FOLDER_MARKER = '.complete.json';

type FolderFiles = Record<string, { bytes: number; sha256: string }>;

const TEMPORARY = /^\..+\.tmp-\d+-[0-9a-f]{8}$/;
const MAX_CHUNK = 2 ** 30; // one system call moves at most 2^31 - 1 bytes

/** What an `errno` means to someone who did not write this code. */
const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'no permission to write there',
  EPERM: 'no permission to write there',
  ENOENT: 'the parent folder does not exist',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'a file of that name is in the way',
  EISDIR: 'a folder of that name is in the way',
};

/** A system error as one sentence with the path and the cause; any other error as it is. */
export function writeError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return error;
  const code = String(error.code);
  return new Error(`cannot write ${path}: ${CAUSES[code] ?? error.message} (${code})`, { cause: error });
}

/**
 * Writes a file so that a reader, a crash or a full disk sees the earlier content or the new one, nothing between.
 *
 * @param data - the content; an iterable is written piece by piece, so that large files are never held whole
 * @throws Error naming `path` and the cause; an earlier file is untouched and nothing is left beside it
 */
export function writeFileAtomic(path: string, data: string | Uint8Array | Iterable<Uint8Array>): void {
  const temporary = temporaryName(path);
  try {
    writeThrough(temporary, data);
    fs.renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw writeError(path, error);
  }
}

/**
 * Appends all of `bytes` or, when the disk refuses, nothing: half a row would spoil the file for its readers.
 *
 * @throws Error naming `path` and the cause
 */
export function appendWhole(path: string, bytes: Uint8Array): void {
  const before = fileSize(path);
  try {
    fs.appendFileSync(path, bytes);
  } catch (error) {
    if (fileSize(path) > before) fs.truncateSync(path, before);
    throw writeError(path, error);
  }
}

/**
 * Makes a folder and its parents unless they exist (Node's recursive `mkdir` calls a read-only disk "no such file").
 *
 * @throws Error naming the path and the cause
 */
export function makeFolder(path: string): void {
  if (!fs.existsSync(dirname(path))) makeFolder(dirname(path));
  try {
    fs.mkdirSync(path);
  } catch (error) {
    if (!fs.existsSync(path) || !fs.statSync(path).isDirectory()) throw writeError(path, error);
  }
}

/** Names in a folder, sorted. @throws Error naming the path and the cause */
export function readFolder(path: string): string[] {
  try {
    return fs.readdirSync(path).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const causes: Record<string, string> = { ENOENT: 'there is no such folder', ENOTDIR: 'it is a file, not a folder' };
    throw new Error(`cannot read ${path}: ${causes[code ?? ''] ?? message}`, { cause: error });
  }
}

/** Bytes of a file, 0 where there is none. */
export const fileSize = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Flushes what was written to an existing file to the disk. */
export function syncFile(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Writes a folder that appears whole: `write` fills a temporary folder, a marker with the hashes of its files goes in last.
 * A folder written this way before is replaced; one that holds any other file is refused, so nothing foreign gets lost.
 *
 * @throws Error naming `path` and the cause; an earlier folder is untouched and nothing is left beside it
 */
export async function writeFolderAtomic(path: string, write: (folder: string) => void | Promise<void>): Promise<void> {
  const target = resolve(path);
  const temporary = temporaryName(target);
  try {
    restorePrevious(target);
    refuseForeignFiles(target);
    fs.mkdirSync(temporary);
    await write(temporary);
    sealFolder(temporary);
    replaceFolder(temporary, target);
    syncFolder(dirname(target));
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    throw writeError(path, error);
  }
}

/**
 * Checks a folder of {@link writeFolderAtomic} against its marker.
 *
 * @throws Error naming the first file that is missing or differs
 */
export function verifyFolder(path: string): void {
  const files = readMarker(path);
  if (!files) throw new Error(`${path} is incomplete: it has no readable ${FOLDER_MARKER}`);
  for (const [name, { bytes, sha256 }] of Object.entries(files)) {
    const file = join(path, name);
    if (!fs.existsSync(file)) throw new Error(`${file} is missing`);
    const size = fs.statSync(file).size;
    if (size !== bytes) throw new Error(`${file} has ${size} bytes instead of ${bytes}`);
    if (hashFile(file) !== sha256) throw new Error(`${file} is damaged: its SHA-256 differs from ${FOLDER_MARKER}`);
  }
}

/** Deletes a folder so that a crash never leaves half of it under its name. */
export function removeFolderAtomic(path: string): void {
  const temporary = temporaryName(path);
  fs.renameSync(path, temporary);
  fs.rmSync(temporary, { recursive: true, force: true });
}

/** Deletes what killed processes left behind in `folder`; only for a caller who knows that nobody else writes there. */
export function removeLeftovers(folder: string): void {
  for (const name of fs.existsSync(folder) ? readFolder(folder) : [])
    if (isLeftover(name)) fs.rmSync(join(folder, name), { recursive: true, force: true });
}

/** Whether a name is one that only a process that was killed leaves behind. */
export const isLeftover = (name: string): boolean => TEMPORARY.test(name);

/** A name beside `path` that {@link removeLeftovers} knows. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${randomBytes(4).toString('hex')}`);
}

/** Writes a new file and flushes it to the disk. */
function writeThrough(path: string, data: string | Uint8Array | Iterable<Uint8Array>): void {
  const fd = fs.openSync(path, 'wx');
  try {
    for (const piece of typeof data === 'string' || data instanceof Uint8Array ? [data] : data) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
      for (let at = 0; at < bytes.length; at += MAX_CHUNK) fs.writeFileSync(fd, bytes.subarray(at, at + MAX_CHUNK));
    }
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Flushes a folder's entries (a rename is durable only then); Windows has no such call. */
function syncFolder(path: string): void {
  if (process.platform !== 'win32') syncFile(path);
}

/** Flushes every file of the folder, then writes the marker. */
function sealFolder(folder: string): void {
  const files: FolderFiles = {};
  for (const name of listFiles(folder)) {
    const file = join(folder, name);
    syncFile(file);
    files[name] = { bytes: fs.statSync(file).size, sha256: hashFile(file) };
  }
  for (const parent of new Set(Object.keys(files).map((name) => dirname(join(folder, name))))) syncFolder(parent);
  writeThrough(join(folder, FOLDER_MARKER), JSON.stringify({ files }, null, 1) + '\n');
  syncFolder(folder);
}

/** The marker's list, or null where there is no folder, no marker or no JSON in it. */
function readMarker(folder: string): FolderFiles | null {
  try {
    return (JSON.parse(fs.readFileSync(join(folder, FOLDER_MARKER), 'utf8')) as { files?: FolderFiles }).files ?? null;
  } catch {
    return null;
  }
}

function listFiles(folder: string): string[] {
  const entries = fs.readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function refuseForeignFiles(target: string): void {
  if (!fs.existsSync(target)) return;
  const own = new Set([FOLDER_MARKER, ...Object.keys(readMarker(target) ?? {})]);
  const foreign = listFiles(target).find((name) => !own.has(name));
  if (foreign)
    throw new Error(`cannot write ${target}: it holds ${foreign}, which is not ours to replace; choose another folder`);
}

const previousName = (target: string): string => join(dirname(target), `.${basename(target)}.previous`);

/** A folder cannot be renamed onto another: the earlier one steps aside, and comes back when the second rename fails. */
function replaceFolder(temporary: string, target: string): void {
  const previous = previousName(target);
  if (fs.existsSync(target)) fs.renameSync(target, previous);
  try {
    fs.renameSync(temporary, target);
  } catch (error) {
    restorePrevious(target);
    throw error;
  }
  fs.rmSync(previous, { recursive: true, force: true });
}

/** Settles a replacement that a crash interrupted. */
function restorePrevious(target: string): void {
  const previous = previousName(target);
  if (!fs.existsSync(previous)) return;
  if (fs.existsSync(target)) fs.rmSync(previous, { recursive: true, force: true });
  else fs.renameSync(previous, target);
}

/** Hexadecimal hash of a file's bytes, after what `hash` has been fed already. */
export function hashFile(path: string, hash = createHash('sha256')): string {
  const buffer = Buffer.alloc(2 ** 20);
  const fd = fs.openSync(path, 'r');
  try {
    for (let n = fs.readSync(fd, buffer); n > 0; n = fs.readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex');
}
