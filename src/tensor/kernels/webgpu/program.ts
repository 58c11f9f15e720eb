/**
 * A kernel as WGSL: what it reads and writes, its sizes, and the body of its `main`. Whole buffers are bound; where an operand begins comes
 * with the sizes in one block of uniforms `n`: element i of operand x is `x[n.x + i]`.
 */

/** WGSL types of an operand's elements. */
export type Element = 'f32' | 'i32' | 'vec4f';

export interface Program<Operand extends string = string, Size extends string = string> {
  readonly name: string;
  /** Elements of what is only read; binding order. */
  readonly reads: Readonly<Partial<Record<Operand, Element>>>;
  /** Elements of what is written, or changed; bound after what is read. */
  readonly writes: Readonly<Partial<Record<Operand, Element>>>;
  /** Numbers of a call: unsigned integers, floats where the type says so. */
  readonly sizes: Readonly<Record<Size, 'u32' | 'f32'>>;
  /** Functions and shared memory. */
  readonly declarations?: string;
  /** Knows `group`, `groups` (workgroup's index and their number) and `lane` (0…255). */
  readonly body: string;
}

/** Invocations of a workgroup: the most that every adapter has. */
export const LANES = 256;

/** Keeps the names of operands and sizes in the type. */
export const program = <Operand extends string, Size extends string>(p: Program<Operand, Size>): Program<Operand, Size> => p;

/** Bytes of an element. */
export const elementBytes = (element: Element): number => (element === 'vec4f' ? 16 : 4);

/** Operands in the order of their bindings. */
export const operands = ({ reads, writes }: Program): [name: string, element: Element, access: 'read' | 'read_write'][] => [
  ...Object.entries(reads).map(([name, element]) => [name, element as Element, 'read'] as [string, Element, 'read']),
  ...Object.entries(writes).map(([name, element]) => [name, element as Element, 'read_write'] as [string, Element, 'read_write']),
];

/** The whole shader. */
export function wgsl(p: Program): string {
  const own = operands(p);
  const fields = [...Object.entries(p.sizes), ...own.map(([name]) => [name, 'u32'])];
  return [
    `struct Numbers { ${fields.map(([name, type]) => `${name}: ${type}`).join(', ')} }`,
    '@group(1) @binding(0) var<uniform> n: Numbers;',
    ...own.map(([name, type, access], i) => `@group(0) @binding(${i}) var<storage, ${access}> ${name}: array<${type}>;`),
    p.declarations ?? '',
    `@compute @workgroup_size(${LANES})`,
    'fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {',
    p.body,
    '}',
  ].join('\n');
}

/** Workgroups along one dimension, at most. */
const MOST_GROUPS = 65535;

/** One workgroup per row: {@link ROW}. */
export const perRow = (rows: number): [number, number, number] => [Math.min(rows, MOST_GROUPS), Math.ceil(rows / MOST_GROUPS), 1];

/** First statements of a body that treats one row: its number `row`. */
export const ROW = `
  let row = group.y * groups.x + group.x;
  if (row >= n.rows) { return; }`;

/** Workgroups for n elements, each lane taking one after the other: {@link EACH}. */
export const perElement = (count: number): [number, number, number] => [Math.min(Math.ceil(count / LANES), 16384), 1, 1];

/** A body's loop over i < n.`count`. */
export const each = (count: string, statements: string): string => `
  for (var i = group.x * ${LANES}u + lane; i < n.${count}; i += groups.x * ${LANES}u) {${statements}}`;

/** `sumOf(x, lane)` and `maxOf(x, lane)` over a workgroup, always in the same order; all lanes must call and all get the result. */
export const REDUCTIONS = `
var<workgroup> partial: array<f32, ${LANES}>;
fn sumOf(x: f32, lane: u32) -> f32 {
  partial[lane] = x;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let total = partial[0];
  workgroupBarrier();
  return total;
}
fn maxOf(x: f32, lane: u32) -> f32 {
  partial[lane] = x;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] = max(partial[lane], partial[lane + half]); }
    workgroupBarrier();
  }
  let most = partial[0];
  workgroupBarrier();
  return most;
}`;
