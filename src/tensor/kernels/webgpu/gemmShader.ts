/**
 * The shader of C (+)= op(A)·op(B): a workgroup computes a square of C, 64 or 128 wide, from slices of A and B in shared memory, 16 deep.
 * Each lane accumulates its part of the square in registers: 4 rows by 4 columns, repeated every 64 of both.
 *
 * Slices lie in shared memory as they lie in memory: along k where k is the operand's contiguous axis (padded against bank conflicts), else
 * along its rows (A) or columns (B).
 */
import { program, type Element } from './program';

/** What one shader is compiled for. */
export interface GemmVariant {
  /** Width of the square: 64 or 128. */
  readonly tile: 64 | 128;
  /** Whether A's rows (B's columns) are contiguous along k. */
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  /** Whether four numbers at a time can be loaded: strides, sizes and offset are multiples of four. */
  readonly aByFour: boolean;
  readonly bByFour: boolean;
}

const DEPTH = 16;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Vectors of a slice's row in shared memory: along k padded by one. */
const rowVectors = (tile: number, alongK: boolean): number => (alongK ? DEPTH / 4 + 1 : tile / 4);

/**
 * `loadA`: the four numbers of A at (row, k), along k or along the rows, 0 outside. `x` names the operand, `major` the size of its axis
 * that is not k.
 */
function loader(x: 'a' | 'b', major: 'm' | 'n', alongK: boolean, byFour: boolean): string {
  const at = (i: number) =>
    alongK
      ? `n.${x} + base + i * n.${x}Major + (k + ${i}u) * n.${x}K`
      : `n.${x} + base + (i + ${i}u) * n.${x}Major + k * n.${x}K`;
  const inside = (i: number) => (alongK ? `k + ${i}u < end && i < n.${major}` : `k < end && i + ${i}u < n.${major}`);
  const one = byFour
    ? `select(vec4f(), ${x}[n.${x} + (base + i * n.${x}Major + k * n.${x}K) / 4u], k < end && i < n.${major})`
    : `vec4f(${range(4)
        .map((i) => `select(0.0, ${x}[${at(i)}], ${inside(i)})`)
        .join(', ')})`;
  return `fn load_${x}(base: u32, i: u32, k: u32, end: u32) -> vec4f { return ${one}; }`;
}

/** Statements that fill the slice of one operand: every lane loads tile/64 vectors. */
function fill(x: 'a' | 'b', tile: number, alongK: boolean): string {
  return range(tile / 64)
    .map((repeat) => {
      const slot = `(lane + ${repeat * 256}u)`;
      const [i, k] = alongK
        ? [`${slot} / 4u`, `(${slot} % 4u) * 4u`]
        : [`(${slot} % ${tile / 4}u) * 4u`, `${slot} / ${tile / 4}u`];
      const to = alongK ? `(${i}) * 5u + ${slot} % 4u` : `${slot}`;
      return `slice_${x}[${to}] = load_${x}(${x}Base, ${x}From + ${i}, k0 + ${k}, end);`;
    })
    .join('\n    ');
}

/** The lane's numbers of A at depth 4·q … 4·q + 3: `a{row}` along k, or `a{depth}_{block}` along the rows. */
function readA(tile: number, alongK: boolean): string[] {
  const blocks = range(tile / 64);
  if (alongK)
    return blocks.flatMap((block) =>
      range(4).map((r) => `let a${block * 4 + r} = slice_a[(${block * 64}u + y * 4u + ${r}u) * 5u + q];`),
    );
  return range(4).flatMap((d) =>
    blocks.map((block) => `let a${d}_${block} = slice_a[(q * 4u + ${d}u) * ${tile / 4}u + ${block * 16}u + y];`),
  );
}

const XYZW = ['x', 'y', 'z', 'w'];

/** A at (row, depth d of the four) as {@link readA} has it. */
const elementA = (alongK: boolean, row: number, d: number): string =>
  alongK ? `a${row}.${XYZW[d]}` : `a${d}_${row >> 2}.${XYZW[row & 3]}`;

/** Multiplies four of a slice's depths into the accumulators. */
function multiply({ tile, aAlongK, bAlongK }: GemmVariant): string {
  const rows = range(tile / 16);
  const lines = readA(tile, aAlongK);
  if (bAlongK) {
    // columns x + 16·j of the lane, one dot product of depth four each
    const whole = (row: number) => (aAlongK ? `a${row}` : `vec4f(${range(4).map((d) => elementA(false, row, d))})`);
    if (!aAlongK) lines.push(...rows.map((row) => `let t${row} = ${whole(row)};`));
    for (const j of range(tile / 16)) {
      lines.push(`let b${j} = slice_b[(x + ${16 * j}u) * 5u + q];`);
      for (const row of rows) lines.push(`c${row}_${j >> 2}.${XYZW[j & 3]} += dot(${aAlongK ? `a${row}` : `t${row}`}, b${j});`);
    }
    return lines.join('\n      ');
  }
  for (const d of range(4)) {
    for (const block of range(tile / 64)) {
      lines.push(`let b${d}_${block} = slice_b[(q * 4u + ${d}u) * ${tile / 4}u + ${block * 16}u + x];`);
      for (const row of rows)
        lines.push(`c${row}_${block} = fma(vec4f(${elementA(aAlongK, row, d)}), b${d}_${block}, c${row}_${block});`);
    }
  }
  return lines.join('\n      ');
}

/** Writes the accumulators to C. */
function store({ tile, bAlongK }: GemmVariant): string {
  const lines: string[] = [];
  for (const row of range(tile / 16)) {
    const i = `aFrom + ${(row >> 2) * 64 + (row & 3)}u + y * 4u`;
    for (const block of range(tile / 64))
      for (const e of range(4)) {
        const j = bAlongK ? `x + ${16 * (block * 4 + e)}u` : `${block * 64 + e}u + x * 4u`;
        lines.push(`put(cBase, ${i}, bFrom + ${j}, c${row}_${block}.${XYZW[e]});`);
      }
  }
  return lines.join('\n  ');
}

const PUT = `
fn put(base: u32, i: u32, j: u32, sum: f32) {
  if (i >= n.m || j >= n.n) { return; }
  let at = n.c + base + i * n.cRow + j;
  var value = sum;
  if (n.biased == 1u) { value += bias[n.bias + j]; }
  if (n.accumulate == 1u) { value += c[at]; }
  c[at] = value;
}`;

/** Where the workgroup's square and its operands begin. */
const begin = (tile: number): string => `
  let x = lane % 16u;
  let y = lane / 16u;
  let aFrom = group.y * ${tile}u;
  let bFrom = group.x * ${tile}u;
  let split = group.z % n.splits;
  let outer = (group.z / n.splits) / n.inner;
  let inner = (group.z / n.splits) % n.inner;
  let aBase = outer * n.aOuter + (inner / n.aShare) * n.aInner;
  let bBase = outer * n.bOuter + (inner / n.bShare) * n.bInner;
  let cBase = outer * n.cOuter + inner * n.cInner + split * n.cSplit;
  let end = min(n.k, (split + 1u) * n.perSplit);`;

function body(v: GemmVariant): string {
  const { tile } = v;
  const accumulators = range(tile / 16).flatMap((row) => range(tile / 64).map((block) => `var c${row}_${block} = vec4f();`));
  return `${begin(tile)}
  ${accumulators.join('\n  ')}
  for (var k0 = split * n.perSplit; k0 < end; k0 += ${DEPTH}u) {
    ${fill('a', tile, v.aAlongK)}
    ${fill('b', tile, v.bAlongK)}
    workgroupBarrier();
    for (var q = 0u; q < ${DEPTH / 4}u; q++) {
      ${multiply(v)}
    }
    workgroupBarrier();
  }
  ${store(v)}`;
}

const u = 'u32' as const;
const SIZES = {
  ...{ m: u, n: u, k: u, aMajor: u, aK: u, aOuter: u, aInner: u, aShare: u, bMajor: u, bK: u, bOuter: u, bInner: u, bShare: u },
  ...{ cRow: u, cOuter: u, cInner: u, cSplit: u, inner: u, splits: u, perSplit: u, biased: u, accumulate: u },
} as const;

/**
 * Workgroup (column square, row square, batch · splits + split). Batches are of two levels, (example, head): an operand's base is
 * example · outer + (head / share) · inner. A split computes `perSplit` of the depth.
 */
export function gemmProgram(v: GemmVariant) {
  const element = (byFour: boolean): Element => (byFour ? 'vec4f' : 'f32');
  const vectors = (alongK: boolean) => (alongK ? v.tile : DEPTH) * rowVectors(v.tile, alongK);
  return program({
    name: `gemm ${v.aAlongK ? 'n' : 't'}${v.bAlongK ? 't' : 'n'} ${v.tile}`,
    reads: { a: element(v.aByFour), b: element(v.bByFour), bias: 'f32' },
    writes: { c: 'f32' },
    sizes: SIZES,
    declarations: `
var<workgroup> slice_a: array<vec4f, ${vectors(v.aAlongK)}>;
var<workgroup> slice_b: array<vec4f, ${vectors(v.bAlongK)}>;
${loader('a', 'm', v.aAlongK, v.aByFour)}
${loader('b', 'n', v.bAlongK, v.bByFour)}
${PUT}`,
    body: body(v),
  });
}
