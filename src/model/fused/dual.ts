/** Forward mode: a number, or what numbers are kept in, with its derivative along a direction. */
export interface Dual<T> {
  readonly value: T;
  readonly dot: T;
}

/** One of each. */
export const dual = <T>(make: () => T): Dual<T> => ({ value: make(), dot: make() });

/** Of both the same field. */
export const part = <T, K extends keyof T>({ value, dot }: Dual<T>, key: K): Dual<T[K]> => ({ value: value[key], dot: dot[key] });

/** Of both the same that `part` finds. */
export const both = <T, U>({ value, dot }: Dual<T>, part: (of: T) => U): Dual<U> => ({ value: part(value), dot: part(dot) });
