import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runVitest } from './vitestRun.mjs';

let folder: string;
beforeAll(() => void (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-runner-'))));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const PASSING = `test('passes', () => expect(1).toBe(1));\n`;

describe('the runner of the tests', () => {
  test.each([
    ['what passes', PASSING, { passed: 1, failed: 0, skipped: 0 }],
    ['what is skipped', `${PASSING}test.skip('later', () => {});`, { passed: 1, failed: 0, skipped: 1 }],
    ['a test that fails', `${PASSING}test('fails', () => expect(1).toBe(2));`, { passed: 1, failed: 1, skipped: 0 }],
    [
      'a promise that nobody awaits',
      `test('passes', () => void Promise.reject(new Error('lost')));`,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    [
      'an error after the test has passed',
      `test('passes', async () => { setTimeout(() => { throw new Error('late'); }); await new Promise((r) => setTimeout(r, 50)); });`,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    ['a file that cannot be loaded', `${PASSING}throw new Error('broken');`, { passed: 0, failed: 1, skipped: 0 }],
    ['a file without a test', '', { passed: 0, failed: 1, skipped: 0 }],
    ['a process that ends', `test('ends', () => process.exit(0));`, { passed: 0, failed: 1, skipped: 0 }],
  ])('counts %s', (_, source, counted) => {
    fs.writeFileSync(path.join(folder, 'case.test.mjs'), source);
    const report = path.join(folder, 'report.json');
    expect(runVitest(report, ['--root', folder, '--globals'], 'ignore')).toEqual(counted);
  });

  test('counts nothing where there is no file of tests: that is no success', () => {
    const empty = path.join(folder, 'empty');
    fs.mkdirSync(empty);
    expect(runVitest(path.join(folder, 'report.json'), ['--root', empty], 'ignore').failed).toBe(1);
  });
});
