/** Ranks in one process: each call waits for that of all others. */
import type { Collective } from '../../src/model/ranks/collective';

/** As many collectives as there are ranks; sums are taken in the order of the ranks. */
export function localRanks(size: number): Collective[] {
  let round: { given: unknown[]; done: Promise<unknown[]>; finish: (given: unknown[]) => void } | undefined;
  const exchange = async <T>(rank: number, own: T): Promise<T[]> => {
    if (!round) {
      let finish = (_: unknown[]): void => undefined;
      const done = new Promise<unknown[]>((resolve) => (finish = resolve));
      round = { given: [], done, finish };
    }
    const { given, done, finish } = round;
    given[rank] = own;
    if (Object.keys(given).length === size) {
      round = undefined;
      finish(given);
    }
    return (await done) as T[];
  };
  return Array.from({ length: size }, (_, rank) => ({
    ...{ rank, size },
    async sum(arrays) {
      const all = await exchange(
        rank,
        arrays.map((array) => array.slice()),
      );
      arrays.forEach((array, i) => {
        array.fill(0);
        for (const given of all) given[i].forEach((x, at) => (array[at] += x));
      });
    },
    gather: (bytes) => exchange(rank, bytes.slice()),
    close: () => undefined,
  }));
}
