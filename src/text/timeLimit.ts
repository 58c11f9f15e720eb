/** Work that others' files describe (regular expressions, templates) and that may never end: run where it can be ended. */
import { createContext, Script } from 'node:vm';

const context = createContext({ work: undefined });
const script = new Script('work()');

/**
 * The result of `work`, which is ended after `milliseconds`, also in the middle of a regular expression that backtracks.
 * @throws Error saying that `what` did not end; whatever `work` throws
 */
export function withTimeLimit<T>(what: string, milliseconds: number, work: () => T): T {
  const outer = context.work as unknown;
  context.work = work;
  try {
    return script.runInContext(context, { timeout: milliseconds }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new Error(`${what} did not end in ${milliseconds / 1000} s: a regular expression or template in it goes on for ever`);
  } finally {
    context.work = outer;
  }
}
