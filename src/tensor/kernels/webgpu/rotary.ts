/** Rotary position embedding: dimension j of a head is rotated together with dimension j + dh/2, in place. */
import type { Kernels } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

const rotation = program({
  name: 'rotate',
  reads: { cos: 'f32', sin: 'f32' },
  writes: { x: 'f32' },
  sizes: { count: 'u32', length: 'u32', heads: 'u32', pairs: 'u32', row: 'u32', sign: 'f32' },
  body: each(
    'count',
    `
    let j = i % n.pairs;
    let head = (i / n.pairs) % n.heads;
    let position = i / (n.pairs * n.heads);
    let angle = (position % n.length) * n.pairs + j;
    let at = n.x + position * n.row + head * 2u * n.pairs + j;
    let a = x[at];
    let b = x[at + n.pairs];
    let cosine = cos[n.cos + angle];
    let sine = n.sign * sin[n.sin + angle];
    x[at] = a * cosine - b * sine;
    x[at + n.pairs] = b * cosine + a * sine;
  `,
  ),
});

export const rotary = (r: Recorder): Pick<Kernels, 'rotate'> => ({
  rotate: (rows, length, heads, headWidth, row, cos, sin, back, x) => {
    const [pairs, count] = [headWidth / 2, (rows * heads * headWidth) / 2];
    r.run(rotation, perElement(count), { cos, sin, x }, { count, length, heads, pairs, row, sign: back ? -1 : 1 });
  },
});
