/**
 * Data sets on their way in: each arrives whole, in shards or example by example, from callers that wait for what their part is paid.
 *
 * A step has one open data set at a time. Its shards are put together in the order of their ranks, so that neither bits nor batches depend
 * on who came first. Data sets that are complete are paid one after the other, in the order in which they became so.
 */
import { HTTPException } from 'hono/http-exception';
import type { Paid } from '../dpg/inner';
import { listed } from '../files/printable';

/** One example as both read it. */
export interface Example {
  /** Token ids of the target. */
  readonly ids: readonly number[];
  readonly text: string;
}

/** A caller's part of a data set: shard `rank` of `count`. */
export interface Shard {
  readonly rank: number;
  readonly count: number;
  readonly examples: readonly Example[];
}

/** What a shard is paid, and what of it is the whole data set's. */
export interface PaidShard extends Paid {
  /** τ of the shard's examples, in their order. */
  readonly tau: Float32Array;
}

/** How a data set ended. */
export type Outcome = 'paid' | 'failed' | 'refused' | 'timed_out' | 'abandoned';

/** Options of {@link dataSets}. */
export interface DataSetOptions {
  /** Examples of every data set. */
  readonly size: number;
  /** How long a data set may take to arrive. */
  readonly seconds: number;
  readonly pay: (step: number, examples: readonly Example[]) => Promise<Paid>;
  /** Hears of every data set that has ended, with what its callers are told in place of rewards. */
  readonly onEnd?: (outcome: Outcome, told?: string) => void;
}

/** The data sets of a server. */
export interface DataSets {
  /**
   * Adds a shard and waits for what it is paid; a caller who leaves takes the shard along, as long as others are missing.
   * @throws HTTPException with a status and a sentence: 4xx for what does not fit, or comes too late; 500 for a reward that cannot be
   * computed; 503 for a server that ends
   */
  add(step: number, shard: Shard, caller?: AbortSignal): Promise<PaidShard>;
  /** How many are there: arriving, or complete and not paid yet. */
  counts(): Readonly<Record<'arriving' | 'waiting', number>>;
  /** Turns away all that is not being paid at this moment, and waits for that. */
  end(): Promise<void>;
}

interface DataSet {
  readonly step: number;
  /** By rank. */
  readonly shards: (Shard | undefined)[];
  callers: number;
  complete: boolean;
  timer?: NodeJS.Timeout;
  readonly paid: Promise<Paid>;
  readonly settle: (result: Paid | HTTPException) => void;
}

/** An error that a caller is told. */
const refusal = (status: 408 | 409 | 422 | 500 | 503, message: string): HTTPException => new HTTPException(status, { message });

const ENDING = refusal(503, 'the server is ending');

const examplesOf = ({ shards }: DataSet): Example[] => shards.flatMap((shard) => shard?.examples ?? []);

function newDataSet(step: number, count: number): DataSet {
  let settle!: DataSet['settle'];
  const paid = new Promise<Paid>((resolve, reject) => {
    settle = (result) => (result instanceof HTTPException ? reject(result) : resolve(result));
  });
  paid.catch(() => undefined); // whoever waits is told; often nobody is left
  return { step, shards: Array.from({ length: count }), callers: 0, complete: false, paid, settle };
}

/** Why a shard cannot join a data set. */
function misfit(set: DataSet, { rank, count, examples }: Shard, size: number): string | undefined {
  const { step, shards, complete } = set;
  if (complete) return `the data set of step ${step} is complete, and its rewards are on their way`;
  if (shards.length !== count) return `the data set of step ${step} has ${shards.length} shards (got count ${count})`;
  if (shards[rank]) return `shard ${rank} of step ${step} is there already`;
  const sum = examplesOf(set).length + examples.length;
  return sum > size ? `with shard ${rank} the data set of step ${step} would have ${sum} examples, more than ${size}` : undefined;
}

function requirePaid({ rewards }: Paid): void {
  const broken = rewards.values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new Error(`the reward of example ${broken} is ${rewards.values[broken]}`);
}

/** Everything that is there. */
interface Place {
  readonly options: DataSetOptions;
  /** By step: those that arrive, and complete ones that somebody waits for. */
  readonly open: Map<number, DataSet>;
  /** Complete, in their order. */
  readonly waiting: Set<DataSet>;
  last: Promise<void>;
  ended: boolean;
}

function close({ options, open, waiting }: Place, set: DataSet, outcome: Outcome, result: Paid | HTTPException): void {
  clearTimeout(set.timer);
  waiting.delete(set);
  if (open.get(set.step) === set) open.delete(set.step);
  set.settle(result);
  options.onEnd?.(outcome, result instanceof HTTPException ? result.message : undefined);
}

function expire(place: Place, set: DataSet): void {
  const missing = [...set.shards.keys()].filter((rank) => !set.shards[rank]);
  const lacking = `of ${set.shards.length} shards there ${missing.length === 1 ? 'is' : 'are'} missing ${listed(missing.map(String))}`;
  const message = `the data set of step ${set.step} was not complete after ${place.options.seconds} s: ${lacking}`;
  close(place, set, 'timed_out', refusal(408, message));
}

async function payNext(place: Place, set: DataSet): Promise<void> {
  if (!place.waiting.delete(set)) return; // all have left, or the server ends
  try {
    const paid = await place.options.pay(set.step, examplesOf(set));
    requirePaid(paid);
    close(place, set, 'paid', paid);
  } catch (error) {
    const message = `the rewards of step ${set.step} cannot be computed: ${(error as Error).message}`;
    close(place, set, 'failed', refusal(500, message));
  }
}

function complete(place: Place, set: DataSet): void {
  const { length } = examplesOf(set);
  const { size } = place.options;
  if (length !== size) {
    const message = `the data set of step ${set.step} has ${length} examples in all its shards, and should have ${size}`;
    return close(place, set, 'refused', refusal(422, message));
  }
  clearTimeout(set.timer);
  set.complete = true;
  place.waiting.add(set);
  place.last = place.last.then(() => payNext(place, set));
}

function join(place: Place, step: number, shard: Shard): DataSet {
  if (place.ended) throw ENDING;
  const { open, options } = place;
  const set = open.get(step) ?? newDataSet(step, shard.count);
  const reason = misfit(set, shard, options.size);
  if (reason !== undefined) throw refusal(409, reason);
  if (!open.has(step)) {
    open.set(step, set);
    set.timer = setTimeout(expire, options.seconds * 1000, place, set);
  }
  set.shards[shard.rank] = shard;
  set.callers++;
  if (!set.shards.includes(undefined)) complete(place, set);
  return set;
}

/** A caller who has left takes the shard along while others are missing; where all have left, the step is free. */
function leave(place: Place, set: DataSet, rank: number): void {
  set.callers--;
  if (!set.complete) set.shards[rank] = undefined;
  if (set.callers > 0) return;
  const isBeingPaid = set.complete && !place.waiting.has(set);
  if (isBeingPaid) place.open.delete(set.step);
  else close(place, set, 'abandoned', refusal(408, 'nobody waits for it any more'));
}

async function add(place: Place, step: number, shard: Shard, caller?: AbortSignal): Promise<PaidShard> {
  if (caller?.aborted) throw refusal(408, 'the caller has left');
  const set = join(place, step, shard);
  const onLeave = (): void => leave(place, set, shard.rank);
  caller?.addEventListener('abort', onLeave);
  try {
    const paid = await set.paid;
    const from = set.shards.slice(0, shard.rank).reduce((sum, each) => sum + each!.examples.length, 0);
    return { ...paid, tau: paid.rewards.values.subarray(from, from + shard.examples.length) };
  } finally {
    caller?.removeEventListener('abort', onLeave);
  }
}

/** Data sets of `size` examples, paid by `pay`. */
export function dataSets(options: DataSetOptions): DataSets {
  const place: Place = { options, open: new Map(), waiting: new Set(), last: Promise.resolve(), ended: false };
  const { open, waiting } = place;
  return {
    add: (step, shard, caller) => add(place, step, shard, caller),
    counts: () => ({ arriving: [...open.values()].filter((set) => !set.complete).length, waiting: waiting.size }),
    async end() {
      place.ended = true;
      const left = [...open.values()].filter((set) => !set.complete || waiting.has(set));
      for (const set of left) close(place, set, 'abandoned', ENDING);
      await place.last;
    },
  };
}
