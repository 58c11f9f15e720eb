/**
 * The two 16-bit float formats of checkpoints, as raw bits: IEEE binary16 (F16) and bfloat16 (BF16).
 */

let float16Values: Float32Array | undefined;

/** F16 bits to float32, exactly. */
export function fromFloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const values = (float16Values ??= Float32Array.from({ length: 65536 }, (_, half) => float16Value(half)));
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) result[i] = values[bits[i]];
  return result;
}

/** BF16 bits to float32, exactly: they are its upper half. */
export function fromBfloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** float32 to F16 bits, rounded to nearest even; from 65520 on it is infinity. */
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(
    words,
    (word, i) => ((word >>> 16) & 0x8000) | float16Magnitude(word & 0x7fffffff, Math.abs(values[i])),
  );
}

/** float32 to BF16 bits, rounded to nearest even. */
export function toBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => {
    if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40; // NaN: rounding could carry it into infinity
    return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  });
}

/** Sign, 5 bits of exponent (bias 15), 10 bits of fraction. */
function float16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The 15 bits below the sign, from a float32 without its sign: its bits and its value. */
function float16Magnitude(word: number, value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  if (value >= 65520) return 0x7c00; // halfway between the largest half and 2^16
  // Subnormal halves are multiples of 2^-24; adding and taking away 2^52 rounds a double to nearest even.
  if (value < 2 ** -14) return value * 2 ** 24 + 2 ** 52 - 2 ** 52;
  return ((word + 0xfff + ((word >>> 13) & 1)) >>> 13) - (112 << 10); // 13 fraction bits fewer, bias 127 becomes 15
}
