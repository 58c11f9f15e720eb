/**
 * What the ranks of one run do together: each is a process on this or another machine, and each makes the same calls in the same order.
 *
 * The sum is not ours: beside every rank, `notebooks/python/dpg_ranks.py` runs `torch.distributed`. It has started this process and shares
 * a file of memory with it; one line on a socket says what to do with the numbers in it, one line comes back when it is done.
 */
import { closeSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { queue } from '../queue';

/** A barrier is a gathering of nothing. */
export interface Collective {
  /** Of this process, from 0. */
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** Replaces numbers by their sums over the ranks, the same bits on every rank and for every run of as many ranks. */
  sum(arrays: readonly Float32Array[]): Promise<void>;
  /** What every rank gives, in the order of the ranks; sizes may differ. */
  gather(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Takes part no longer; the other ranks learn of it. */
  close(): void;
}

/** A run in this process alone. */
export const oneRank: Collective = {
  rank: 0,
  size: 1,
  sum: async () => undefined,
  gather: async (bytes) => [bytes],
  close: () => undefined,
};

/** What the environment that `dpg_ranks.py` gives its child says of it; socket and memory are descriptors of open files. */
const VARIABLES = ['DPG_RANK', 'DPG_RANKS', 'DPG_RANKS_SOCKET', 'DPG_RANKS_MEMORY'] as const;

/**
 * The ranks that this process is one of, by the environment; {@link oneRank} where it was started alone.
 * @throws Error, from every call, naming the rank that has ended
 */
export function joinRanks(env: Readonly<Record<string, string | undefined>> = process.env): Collective {
  const [rank, size, socket, memory] = VARIABLES.map((name) => env[name]);
  if (memory === undefined) return oneRank;
  const file = Number(memory);
  const { ask, end } = conversation(Number(socket));
  const exclusively = queue(); // calls share the memory
  return {
    rank: Number(rank),
    size: Number(size),
    sum: (arrays) =>
      exclusively(async () => {
        const bytes = arrays.map(bytesOf);
        write(file, bytes);
        await ask(`sum ${totalOf(bytes)}`);
        read(file, bytes);
      }),
    gather: (own) =>
      exclusively(async () => {
        write(file, [own]);
        const sizes = (await ask(`gather ${own.byteLength}`)).split(' ').map(Number);
        const all = sizes.map((each) => new Uint8Array(each));
        read(file, all);
        return all;
      }),
    close() {
      end();
      closeSync(file);
    },
  };
}

/** Lines to the process beside this one, and its answers: `done …`, or `gone …` with a sentence, after which there is no other. */
function conversation(descriptor: number) {
  const socket = new Socket({ fd: descriptor });
  let gone: Error | undefined;
  let waiting: Waiting | undefined;
  const fail = (sentence: string): void => {
    gone ??= new Error(sentence);
    waiting?.reject(gone);
  };
  createInterface(socket).on('line', (line) => {
    const [word, ...rest] = line.split(' ');
    if (word === 'gone') fail(rest.join(' '));
    else waiting?.resolve(rest.join(' '));
  });
  socket.on('error', (error) => fail(`the process beside this rank cannot be reached: ${error.message}`));
  socket.on('close', () => fail('the process beside this rank, dpg_ranks.py, has ended: start the run again'));
  socket.unref(); // a rank that waits for nothing may end
  return {
    ask: async (line: string): Promise<string> => {
      if (gone) throw gone;
      socket.ref();
      try {
        return await new Promise<string>((resolve, reject) => {
          waiting = { resolve, reject };
          socket.write(`${line}\n`);
        });
      } finally {
        socket.unref();
      }
    },
    end: () => void socket.destroy(),
  };
}

interface Waiting {
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

const totalOf = (arrays: readonly Uint8Array[]): number => arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);

/** Puts arrays one after the other into a file that is as long as all of them. */
function write(file: number, arrays: readonly Uint8Array[]): void {
  ftruncateSync(file, totalOf(arrays));
  let at = 0;
  for (const array of arrays) at += transfer(array, (left, done) => writeSync(file, left, 0, left.length, at + done));
}

function read(file: number, arrays: readonly Uint8Array[]): void {
  let at = 0;
  for (const array of arrays) at += transfer(array, (left, done) => readSync(file, left, 0, left.length, at + done));
}

/** A system call moves less than 2 GiB at a time. */
const AT_ONCE = 2 ** 30;

/** Moves all bytes of an array, piece by piece; returns how many they are. */
function transfer(array: Uint8Array, move: (left: Uint8Array, done: number) => number): number {
  let done = 0;
  while (done < array.length) {
    const moved = move(array.subarray(done, done + AT_ONCE), done);
    if (moved === 0) throw new Error(`the memory shared with dpg_ranks.py ends ${array.length - done} bytes too early`);
    done += moved;
  }
  return done;
}
