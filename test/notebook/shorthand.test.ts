import ts from 'typescript';
import { expect, test } from 'vitest';
import { writeOutShorthand } from '../../src/notebook/shorthand';

test.each([
  ['f({ seed, steps: 3, rate });', 'f({ seed: seed, steps: 3, rate: rate });'],
  ['const nested = { a, b: { c }, ...d };', 'const nested = { a: a, b: { c: c }, ...d };'],
  ['let x = 1;\nlet o = {\n  x, // remark\n};', 'let x = 1;\nlet o = {\n  x: x, // remark\n};'],
  ['({ a, b = 2 } = f());', '({ a: a, b: b = 2 } = f());'],
  ['const later = () => ({ größe });', 'const later = () => ({ größe: größe });'],
  ['const { a, b } = f();', 'const { a, b } = f();'],
  ['import { a } from "x";\nexport { b };', 'import { a } from "x";\nexport { b };'],
  ['"{ a }"; `${{ a }.a}{ b }`; /{ c }/; // { d }', '"{ a }"; `${{ a: a }.a}{ b }`; /{ c }/; // { d }'],
  ['{ a }', '{ a }'],
  ['const y = <number>x; f({ y })', 'const y = <number>x; f({ y: y })'],
  ['not code at all {{{', 'not code at all {{{'],
])('%j', (code, written) => {
  expect(writeOutShorthand(code, ts)).toBe(written);
});
