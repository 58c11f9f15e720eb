/** Checks of numbers that a caller gives, one sentence for all: name, range, value. */

/** @throws RangeError unless `value` is a whole number from `least` on */
export function requireWhole(name: string, value: number, least = 1): void {
  if (!(Number.isInteger(value) && value >= least))
    throw new RangeError(`${name} must be a whole number from ${least} on (got ${value})`);
}

/** @throws RangeError unless `value` is a finite number above 0 */
export function requirePositive(name: string, value: number): void {
  if (!(value > 0 && value < Infinity)) throw new RangeError(`${name} must be a positive number (got ${value})`);
}

/** @throws RangeError for a number that is negative or not finite, by its name */
export function requireNotNegative(settings: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(settings))
    if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must be at least 0 (got ${value})`);
}
