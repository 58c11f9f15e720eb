/** The lint rule that keeps tfjs ops with a wrong second derivative out of everything but tensor/. */
import path from 'node:path';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { expect, it } from 'vitest';

const cwd = path.join(__dirname, '..', '..');
const eslint = new ESLint({ cwd, overrideConfig: [tseslint.configs.disableTypeChecked] });

/** What the project's configuration says of one line in a file. */
async function complaints(file: string, line: string): Promise<string[]> {
  const code = `import * as tf from '@tensorflow/tfjs-core';\nexport const f = (x: tf.Tensor): unknown => ${line};\n`;
  const [{ messages }] = await eslint.lintText(code, { filePath: path.join(cwd, file) });
  return messages.map(({ message }) => message);
}

const WRONG = [
  'tf.softmax(x as tf.Tensor2D)',
  'tf.exp(x)',
  'tf.tanh(x)',
  'tf.logSoftmax(x)',
  'tf.sigmoid(x)',
  'tf.max(x)',
  'tf.losses.softmaxCrossEntropy(x, x)',
];

it.each(WRONG)('%s is refused in model code', async (line) => {
  for (const file of ['src/model/gpt2.ts', 'src/objective/pattern.ts'])
    expect(await complaints(file, line)).toEqual(['Its second derivative in tfjs is wrong or missing: use tensor/ops.ts.']);
});

it('but not in tensor/, and right ops are allowed everywhere', async () => {
  expect(await complaints('src/tensor/ops.ts', 'tf.softmax(x as tf.Tensor2D)')).toEqual([]);
  expect(await complaints('src/model/gpt2.ts', 'tf.matMul(tf.mul(x, x), tf.add(x, 1))')).toEqual([]);
});
