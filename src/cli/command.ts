/** What `dpg <command>` is made of. */
import { readFileSync } from 'node:fs';
import { closest, distance } from 'fastest-levenshtein';

/** A subcommand: a module with these exports. */
export interface Command {
  /** One line for `dpg --help`. */
  readonly summary: string;
  /** What `dpg <name> --help` prints. */
  readonly help: string;
  /** Where it depends on the other arguments. @throws {UsageError} for arguments that it cannot help with */
  helpFor?(argv: readonly string[]): Promise<string>;
  /** Runs it; the result is the exit code. @throws {UsageError} for wrong arguments, told in one line with exit code 2 */
  run(argv: string[]): Promise<number>;
}

/** A mistake in what the user gave: told in one line, exit code 2. */
export class UsageError extends Error {}

/** `; did you mean …?` with the nearest of what is known, '' where nothing is near. */
export function didYouMean(given: string, known: readonly string[]): string {
  const nearest = known.length ? closest(given, known) : '';
  return distance(given, nearest) <= Math.max(2, given.length / 3) && nearest ? `; did you mean ${nearest}?` : '';
}

/** What `f` returns; its errors count as mistakes in what the user gave, which `where` names. */
export function asUsage<T>(where: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    throw new UsageError(`${where}: ${(error as Error).message.replaceAll('\n', '; ')}`);
  }
}

/** Reads a JSON file that an option names. @throws UsageError naming the option, the file and what is wrong */
export const readJson = (option: string, file: string): unknown =>
  asUsage(`${option} ${file}`, () => JSON.parse(readFileSync(file, 'utf8')) as unknown);

/** A whole number given to an option. @throws UsageError naming the option, the range and the value */
export function wholeNumber(option: string, text: string, [low, high]: readonly [number, number]): number {
  const value = Number(text);
  if (!(text.trim() !== '' && Number.isInteger(value) && value >= low && value <= high))
    throw new UsageError(`${option} must be a whole number from ${low} to ${high} (got ${text})`);
  return value;
}
