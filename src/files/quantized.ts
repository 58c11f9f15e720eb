/**
 * Values of GGUF tensors as float32: plain floats, and the blocks of 32 weights that share a scale (and a minimum) in ggml's formats
 * Q8_0, Q4_0 and Q4_1.
 */
import { fromBfloat16, fromFloat16 } from './halfFloats';

/** How many bytes hold how many values. */
interface Layout {
  readonly values: number;
  readonly bytes: number;
}

const BLOCK = 32; // weights of a block

/** The dtypes that are read. */
export const GGUF_LAYOUTS = {
  F32: { values: 1, bytes: 4 },
  F16: { values: 1, bytes: 2 },
  BF16: { values: 1, bytes: 2 },
  Q8_0: { values: BLOCK, bytes: 2 + BLOCK },
  Q4_0: { values: BLOCK, bytes: 2 + BLOCK / 2 },
  Q4_1: { values: BLOCK, bytes: 4 + BLOCK / 2 },
} as const satisfies Record<string, Layout>;

/** Name of a dtype that is read. */
export type GgufDtype = keyof typeof GGUF_LAYOUTS;

/** Little-endian bytes of a tensor to its values; the length of `bytes` is a whole number of blocks. */
export function dequantize(bytes: Uint8Array<ArrayBuffer>, dtype: GgufDtype): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  if (dtype === 'F16') return fromFloat16(new Uint16Array(bytes.buffer));
  if (dtype === 'BF16') return fromBfloat16(new Uint16Array(bytes.buffer));
  const count = bytes.length / GGUF_LAYOUTS[dtype].bytes;
  const values = new Float32Array(count * BLOCK);
  const heads = blockHeads(bytes, dtype, count);
  for (let block = 0; block < count; block++) {
    const scale = heads.scales[block];
    const to = block * BLOCK;
    const from = (block + 1) * GGUF_LAYOUTS[dtype].bytes; // the end of the block: its weights stand last
    if (dtype === 'Q8_0') for (let i = 0; i < BLOCK; i++) values[to + i] = scale * ((bytes[from - BLOCK + i] << 24) >> 24);
    else unpackNibbles(bytes, from - BLOCK / 2, values, to, scale, heads.minima ? heads.minima[block] : -8 * scale);
  }
  return values;
}

/** values = scale · q + minimum: the low halves of 16 bytes are the first 16 weights, the high halves the others. */
function unpackNibbles(bytes: Uint8Array, from: number, values: Float32Array, to: number, scale: number, minimum: number): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    const byte = bytes[from + i];
    values[to + i] = scale * (byte & 15) + minimum;
    values[to + BLOCK / 2 + i] = scale * (byte >> 4) + minimum;
  }
}

/** The half floats at the start of every block: its scale, and in Q4_1 its minimum. */
function blockHeads(bytes: Uint8Array, dtype: 'Q8_0' | 'Q4_0' | 'Q4_1', count: number) {
  const read = (offset: number): Float32Array => {
    const bits = new Uint16Array(count);
    for (let block = 0; block < count; block++) {
      const at = block * GGUF_LAYOUTS[dtype].bytes + offset;
      bits[block] = bytes[at] | (bytes[at + 1] << 8);
    }
    return fromFloat16(bits);
  };
  return { scales: read(0), minima: dtype === 'Q4_1' ? read(2) : undefined };
}
