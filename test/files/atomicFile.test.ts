import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  appendWhole,
  FOLDER_MARKER,
  removeLeftovers,
  verifyFolder,
  writeFileAtomic,
  writeFolderAtomic,
} from '../../src/files/atomicFile';
import { tryTmpfs } from '../fixtures/tmpfs';

let place: string;
beforeEach(() => (place = fs.mkdtempSync(join(tmpdir(), 'atomic-'))));
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

describe('writeFileAtomic', () => {
  it('writes strings, bytes and pieces, replaces, and leaves nothing beside', () => {
    const path = join(place, 'a.txt');
    writeFileAtomic(path, 'héllo');
    expect(fs.readFileSync(path, 'utf8')).toBe('héllo');
    writeFileAtomic(path, [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)]);
    expect([...fs.readFileSync(path)]).toEqual([1, 2, 3]);
    expect(fs.readdirSync(place)).toEqual(['a.txt']);
  });

  it('keeps the earlier file when the content fails halfway', () => {
    const path = join(place, 'a.txt');
    writeFileAtomic(path, 'earlier');
    function* broken(): Generator<Uint8Array> {
      yield Uint8Array.of(1);
      throw new Error('no more');
    }
    expect(() => writeFileAtomic(path, broken())).toThrow(/^no more$/);
    expect(fs.readFileSync(path, 'utf8')).toBe('earlier');
    expect(fs.readdirSync(place)).toEqual(['a.txt']);
  });

  it('names the path and the cause', () => {
    expect(() => writeFileAtomic(join(place, 'none/a'), '')).toThrow(/none\/a: the parent folder does not exist \(ENOENT\)/);
    fs.mkdirSync(join(place, 'folder/inner'), { recursive: true });
    expect(() => writeFileAtomic(join(place, 'folder'), '')).toThrow(/folder: a folder of that name is in the way \(EISDIR\)/);
    expect(fs.readdirSync(place)).toEqual(['folder']);
  });
});

describe('on a small or read-only disk', () => {
  it('a full disk leaves the earlier file, folder and rows intact', async (context) => {
    const disk = tryTmpfs(place, 'size=64k');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      writeFileAtomic(join(disk.path, 'a'), 'earlier');
      fs.writeFileSync(join(disk.path, 'rows'), 'row\n');
      await writeFolderAtomic(join(disk.path, 'folder'), (folder) => fs.writeFileSync(join(folder, 'b'), 'earlier'));
      const large = Buffer.alloc(100_000, 'x');
      expect(() => writeFileAtomic(join(disk.path, 'a'), large)).toThrow(/\/a: the disk is full \(ENOSPC\)/);
      expect(() => appendWhole(join(disk.path, 'rows'), large)).toThrow(/rows: the disk is full/);
      const write = writeFolderAtomic(join(disk.path, 'folder'), (folder) => fs.writeFileSync(join(folder, 'b'), large));
      await expect(write).rejects.toThrow(/folder: the disk is full/);
      expect(fs.readFileSync(join(disk.path, 'a'), 'utf8')).toBe('earlier');
      expect(fs.readFileSync(join(disk.path, 'rows'), 'utf8')).toBe('row\n');
      verifyFolder(join(disk.path, 'folder'));
      expect(fs.readdirSync(disk.path).sort()).toEqual(['a', 'folder', 'rows']);
    } finally {
      disk.unmount();
    }
  });

  it('a read-only disk is named', async (context) => {
    const disk = tryTmpfs(place, 'ro');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      expect(() => writeFileAtomic(join(disk.path, 'a'), '')).toThrow(/the file system is read-only \(EROFS\)/);
      await expect(writeFolderAtomic(join(disk.path, 'b'), () => {})).rejects.toThrow(/the file system is read-only \(EROFS\)/);
    } finally {
      disk.unmount();
    }
  });
});

describe('writeFolderAtomic', () => {
  const write = (content: string) => (folder: string) => {
    fs.mkdirSync(join(folder, 'inner'));
    fs.writeFileSync(join(folder, 'inner/a'), content);
  };

  it('appears whole, with a marker that tells any damage', async () => {
    const path = join(place, 'folder');
    await writeFolderAtomic(path, async (folder) => {
      write('abc')(folder);
      expect(fs.existsSync(path)).toBe(false);
    });
    expect(fs.readdirSync(place)).toEqual(['folder']);
    verifyFolder(path);
    fs.writeFileSync(join(path, 'inner/a'), 'abd');
    expect(() => verifyFolder(path)).toThrow(/inner\/a is damaged/);
    fs.writeFileSync(join(path, 'inner/a'), 'ab');
    expect(() => verifyFolder(path)).toThrow(/inner\/a has 2 bytes instead of 3/);
    fs.rmSync(join(path, 'inner/a'));
    expect(() => verifyFolder(path)).toThrow(/inner\/a is missing/);
    fs.rmSync(join(path, FOLDER_MARKER));
    expect(() => verifyFolder(path)).toThrow(/incomplete/);
  });

  it('replaces its own folder, and keeps it when writing fails', async () => {
    const path = join(place, 'folder');
    await writeFolderAtomic(path, write('first'));
    await writeFolderAtomic(path, write('second'));
    const failing = writeFolderAtomic(path, (folder) => {
      write('third')(folder);
      throw new Error('stopped');
    });
    await expect(failing).rejects.toThrow(/^stopped$/);
    verifyFolder(path);
    expect(fs.readFileSync(join(path, 'inner/a'), 'utf8')).toBe('second');
    expect(fs.readdirSync(place)).toEqual(['folder']);
  });

  it('refuses to replace what it did not write', async () => {
    const path = join(place, 'folder');
    await writeFolderAtomic(path, write('first'));
    fs.writeFileSync(join(path, 'thesis.txt'), '');
    await expect(writeFolderAtomic(path, write('second'))).rejects.toThrow(/thesis\.txt/);
    expect(fs.existsSync(join(path, 'thesis.txt'))).toBe(true);
    fs.writeFileSync(join(place, 'file'), 'kept');
    await expect(writeFolderAtomic(join(place, 'file'), write('x'))).rejects.toThrow(/ENOTDIR/);
  });

  it('puts the earlier folder back after a crash between the two renames', async () => {
    const path = join(place, 'folder');
    await writeFolderAtomic(path, write('first'));
    fs.renameSync(path, join(place, '.folder.previous'));
    await expect(writeFolderAtomic(path, () => Promise.reject(new Error('stopped')))).rejects.toThrow(/stopped/);
    expect(fs.readFileSync(join(path, 'inner/a'), 'utf8')).toBe('first');
  });
});

it('removeLeftovers removes temporary names only', () => {
  for (const name of ['.a.tmp-12-0123abcd', 'a.tmp-12-0123abcd', '.hidden']) fs.writeFileSync(join(place, name), '');
  fs.mkdirSync(join(place, '.b.tmp-7-00000000/inner'), { recursive: true });
  removeLeftovers(place);
  expect(fs.readdirSync(place).sort()).toEqual(['.hidden', 'a.tmp-12-0123abcd']);
});
