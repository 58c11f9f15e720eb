/** What learn/adamw.ts hands to a backend's adamw kernels, as the kernels take it. */

/** Attributes of the kernels `AdamwUpdate` and `AdamwAdjoint`; see learn/adamw.ts. */
export type AdamwAttributes = Readonly<
  Record<'b1' | 'b2' | 'eps' | 'epsRoot' | 'rate' | 'perC2' | 'keep' | 'half' | 'cross', number>
>;

/** The numbers of `Kernels.adamwUpdate` after its pointers. */
export const updateNumbers = ({ b1, b2, eps, epsRoot, rate, perC2, keep }: AdamwAttributes) =>
  [b1, 1 - b1, b2, 1 - b2, perC2, epsRoot, eps, rate, keep] as const;

/** The numbers of `Kernels.adamwAdjoint` after its pointers. */
export const adjointNumbers = ({ b1, b2, eps, epsRoot, rate, perC2, keep, half, cross }: AdamwAttributes) =>
  [b1, 1 - b1, b2, 1 - b2, 2 * (1 - b2), perC2, epsRoot, eps, rate, keep, half, cross, rate * (1 - b1)] as const;
