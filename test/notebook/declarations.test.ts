/**
 * tslab reads dist/index.d.ts with its own, older TypeScript, where what it does not understand becomes `any` without a word.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type ts from 'typescript';
import { beforeAll, expect, test } from 'vitest';
import { build, ROOT } from '../cli/dpg';

const tslabTypeScript = createRequire(__filename)('@tslab/typescript-for-tslab') as typeof ts;
const declarations = path.join(ROOT, 'dist/index.d.ts');

/** Names of exported functions of `file` with `any` in a signature, and all type errors in it and in what it imports from dist/. */
function faults(file: string): string[] {
  const { ModuleKind, ModuleResolutionKind, ScriptTarget } = tslabTypeScript;
  const options = {
    noEmit: true,
    module: ModuleKind.CommonJS,
    moduleResolution: ModuleResolutionKind.Node10,
    target: ScriptTarget.ES2022,
    esModuleInterop: true,
    types: ['node'],
    typeRoots: [path.join(ROOT, 'node_modules/@types')],
  };
  const program = tslabTypeScript.createProgram([file], options);
  const checker = program.getTypeChecker();
  const ours = program.getSourceFiles().filter((source) => !source.fileName.includes('node_modules'));
  const errors = ours
    .flatMap((source) => program.getSemanticDiagnostics(source))
    .map(({ messageText }) => tslabTypeScript.flattenDiagnosticMessageText(messageText, ' '));
  const source = program.getSourceFile(file);
  const symbol = source && checker.getSymbolAtLocation(source);
  const functions = (symbol ? checker.getExportsOfModule(symbol) : []).flatMap((exported) =>
    source
      ? checker
          .getTypeOfSymbolAtLocation(exported, source)
          .getCallSignatures()
          .map((signature) => ({ name: exported.name, text: checker.signatureToString(signature) }))
      : [],
  );
  const vague = functions.filter(({ text }) => /\bany\b/.test(text)).map(({ name, text }) => `${name}${text}`);
  return [...errors, ...vague];
}

beforeAll(build, 120_000);

test.skipIf(!fs.existsSync(declarations))(
  'no exported function takes or returns any in a notebook',
  () => {
    expect(faults(declarations)).toEqual([]);
  },
  60_000,
);

test('notebooks need not check the declarations of zod and of all of tfjs', () => {
  const files = tslabTypeScript.createProgram([declarations], { types: [] }).getSourceFiles();
  const packages = files.map(({ fileName }) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(fileName)?.[1]);
  expect(new Set(packages)).toEqual(
    new Set([undefined, '@tslab/typescript-for-tslab', '@tensorflow/tfjs-core', '@webgpu/types']),
  );
}, 60_000);

test('the check sees what it looks for', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-declarations-'));
  const file = path.join(folder, 'index.d.ts');
  fs.writeFileSync(file, 'export declare function f(x: Float32Array<ArrayBuffer>): void;\nexport declare function g(): any;\n');
  expect(faults(file)).toEqual(["Type 'Float32Array' is not generic.", expect.stringMatching(/^f\(x: any\)/), 'g(): any']);
  fs.rmSync(folder, { recursive: true });
}, 60_000);
