/** Attention on the GPU against its twin in WebAssembly, with as many heads of keys as of queries and with fewer. */
import { test } from 'vitest';
import { compare, floats, useGpu } from './twins';

useGpu();

test.each([
  [1, 1, 1, 1, 3],
  [2, 5, 2, 2, 20],
  [1, 9, 6, 2, 24],
  [2, 70, 2, 1, 16],
])('attention: %i examples of %i, %i heads on %i of keys, width %i', async (batch, length, heads, keyHeads, width) => {
  const rows = batch * length;
  const columns = width + (2 * keyHeads * width) / heads;
  const stride = Math.ceil(length / 8) * 8;
  const square = rows * heads * stride;
  /** Zero beyond the diagonal, and not to be read there. */
  const lower = () => floats(square).map((x, i) => (i % stride <= Math.floor(i / stride) % length ? x : 0));
  const sizes = [batch, length, heads, keyHeads, width] as const;
  const inputs = {
    qkv: floats(rows * columns),
    qkvDot: floats(rows * columns),
    d: floats(rows * width),
    dDot: floats(rows * width),
  };
  const rtol = 3e-5; // sums of length · width products
  await compare(
    { ...inputs, out: rows * width },
    (k, p) => k.attentionForward(...sizes, p.qkv, p.p, p.out, p.work),
    rtol,
    { p: square }, // beyond the diagonal either leaves what it likes
  );
  await compare(
    { ...inputs, p: lower(), out: rows * width },
    (k, p) => k.attentionTangent(...sizes, p.qkv, p.qkvDot, p.p, p.pDot, p.out, p.work),
    rtol,
    { pDot: square },
  );
  await compare(
    { ...inputs, p: lower(), dQkv: rows * columns },
    (k, p) => k.attentionBackward(...sizes, p.qkv, p.p, p.d, p.dQkv, p.work),
    rtol,
  );
  await compare(
    { ...inputs, p: lower(), pDot: lower(), dQkv: rows * columns, dQkvDot: rows * columns },
    (k, p) => k.attentionTangentBackward(...sizes, p.qkv, p.qkvDot, p.p, p.pDot, p.d, p.dDot, p.dQkv, p.dQkvDot, p.work),
    rtol,
  );
});

test.each([
  [1, 1, 1, 3, 1],
  [3, 2, 2, 20, 7],
  [2, 6, 2, 24, 300],
])(
  'attention of a new position: %i examples, %i heads on %i, width %i, over %i',
  async (batch, heads, keyHeads, width, count) => {
    const capacity = count + 2;
    const keyWidth = (width / heads) * keyHeads;
    const [room, columns] = [batch * capacity * keyWidth, width + 2 * keyWidth];
    await compare(
      { past: floats(batch * count * columns), qkv: floats(batch * columns), y: batch * width },
      (k, { past, qkv, y, work, keys, values }) => {
        k.cacheKeysValues(batch, count, width, keyWidth, past, keys, values, capacity, 0);
        k.attentionStep(batch, heads, keyHeads, width, qkv, keys, values, capacity, count, y, work);
      },
      3e-5,
      { keys: room, values: room }, // either lays out its caches as it likes
    );
  },
);
