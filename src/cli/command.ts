/** What `dpg <command>` is made of. */

/** A subcommand: a module with these exports. */
export interface Command {
  readonly name: string;
  /** One line for `dpg --help`. */
  readonly summary: string;
  /** What `dpg <name> --help` prints. */
  readonly help: string;
  /** Runs it; the result is the exit code. @throws {UsageError} for wrong arguments, told in one line with exit code 2 */
  run(argv: string[]): Promise<number>;
}

/** A mistake in what the user gave: told in one line, exit code 2. */
export class UsageError extends Error {}
