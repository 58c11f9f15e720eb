/** The order of floors: imports run downwards, and no files import each other in a circle. */
import fs from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const SRC = path.join(__dirname, '../src');
const FLOORS = ['index', 'cli', 'serve', 'notebook', 'experiments', 'runs', 'dpg', 'policy', 'reward', 'objective', 'learn', 'text', 'model', 'tensor', 'files']; // prettier-ignore

/** What every source imports from src/, types included. */
function importsOf(folder: string): Map<string, string[]> {
  const files = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const sources = files.filter((file) => file.endsWith('.ts') && !file.includes('assembly'));
  return new Map(
    sources.map((file) => {
      const { importedFiles } = ts.preProcessFile(fs.readFileSync(path.join(folder, file), 'utf8'));
      const local = importedFiles.filter(({ fileName }) => fileName.startsWith('.'));
      const found = local.map(({ fileName }) => {
        const base = path.join(path.dirname(file), fileName);
        return [`${base}.ts`, path.join(base, 'index.ts')].find((each) => sources.includes(each)) ?? base;
      });
      return [file, found];
    }),
  );
}

const floorOf = (file: string): number => FLOORS.indexOf(file.split(path.sep)[0].replace(/\.ts$/, ''));

/** Imports that run upwards. */
const upwards = (imports: Map<string, string[]>): string[] =>
  [...imports].flatMap(([file, others]) =>
    others.filter((other) => floorOf(other) < floorOf(file)).map((other) => `${file} → ${other}`),
  );

/** A circle of imports that begins and ends at `file`, if there is one. */
function circle(
  imports: Map<string, string[]>,
  file: string,
  way: string[] = [file],
  seen = new Set<string>(),
): string[] | undefined {
  for (const other of imports.get(way.at(-1)!) ?? []) {
    if (other === file) return [...way, file];
    if (seen.has(other)) continue;
    seen.add(other);
    const found = circle(imports, file, [...way, other], seen);
    if (found) return found;
  }
  return undefined;
}

const imports = importsOf(SRC);

test('every folder is a floor', () => {
  expect([...imports.keys()].filter((file) => floorOf(file) < 0)).toEqual([]);
  expect(imports.size).toBeGreaterThan(100);
});

test('imports run downwards', () => {
  expect(upwards(imports)).toEqual([]);
});

test('no files import each other in a circle', () => {
  expect([...imports.keys()].flatMap((file) => circle(imports, file)?.join(' → ') ?? [])).toEqual([]);
});

test('the check sees what it looks for', () => {
  const odd = new Map([
    ['tensor/a.ts', ['text/b.ts']],
    ['text/b.ts', ['tensor/c.ts', 'tensor/a.ts']],
    ['tensor/c.ts', []],
  ]);
  expect(upwards(odd)).toEqual(['tensor/a.ts → text/b.ts']);
  expect(circle(odd, 'tensor/a.ts')).toEqual(['tensor/a.ts', 'text/b.ts', 'tensor/a.ts']);
  expect(circle(odd, 'tensor/c.ts')).toBeUndefined();
});
