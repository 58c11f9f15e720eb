/** Positions and labels of ticks. */

/** The smallest 1, 2 or 5 times a power of ten that is at least `distance`. */
export function tickStep(distance: number): number {
  const power = 10 ** Math.floor(Math.log10(distance));
  return power * ([1, 2, 5].find((factor) => factor * power >= distance * 0.999) ?? 10);
}

/** Round numbers within [low, high], about `count` of them. */
export function linearTicks(low: number, high: number, count: number): number[] {
  const step = tickStep((high - low) / count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Every `every`-th power of ten within [10^low, 10^high]; where they are few, their multiples by 2 and 5, or any round numbers. */
export function logTicks(low: number, high: number, every = 1): number[] {
  if (high - low < 1) return linearTicks(10 ** low, 10 ** high, 5);
  const [first, last] = [Math.floor(low), Math.ceil(high)];
  const factors = high - low <= 2 ? [1, 2, 5] : [1];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter((power) => power % every === 0);
  const ticks = powers.flatMap((power) => factors.map((factor) => Number((factor * 10 ** power).toPrecision(12))));
  return ticks.filter((tick) => Math.log10(tick) >= low - 1e-9 && Math.log10(tick) <= high + 1e-9);
}

/** The number as an axis of plotly's format `.6~g` or `~e` shows it, with a true minus sign. */
export function formatTick(value: number, format?: string): string {
  const size = Math.abs(value);
  const text = format === '~e' || (size !== 0 && (size >= 1e6 || size < 1e-4)) ? value.toExponential() : String(value);
  return text.replaceAll('-', '\u2212');
}
