/**
 * An experiment's configuration keys as people read them: in `--help`, in the reference page, as JSON.
 */
import { defaultsOf, type Key } from '../dpg/keys';
import { sharedKeys } from '../dpg/config';
import type { Definition } from '../experiments/definition';

/** One key of an experiment. */
export interface DescribedKey extends Pick<Key, 'description' | 'unit' | 'paper' | 'range'> {
  readonly key: string;
  /** The experiment's own default; `= other` where it is the value of another key. */
  readonly default: unknown;
  /** Whether every experiment has it. */
  readonly shared: boolean;
}

/** What an experiment may be configured with, in the order of its keys. */
export function describeKeys({ keys, defaults }: Pick<Definition, 'keys' | 'defaults'>): DescribedKey[] {
  const values = defaultsOf(keys, defaults);
  return Object.entries(keys).map(([key, { description, unit, paper, range, sameAs }]) => ({
    ...{ key, description, unit, range, paper },
    default: key in values ? values[key] : `= ${sameAs}`,
    shared: key in sharedKeys,
  }));
}

/** A key on the command line: `inner-steps` for `innerSteps`. */
export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** A line of `--help` for every key of an experiment, its own first. */
export function keyHelp(definition: Pick<Definition, 'keys' | 'defaults'>): string {
  const described = describeKeys(definition);
  const lines = [...described.filter(({ shared }) => !shared), ...described.filter(({ shared }) => shared)].map(
    ({ key, description, unit, range, default: value, paper }) => {
      const notes = [unit ? `${range}, ${unit}` : range, `default ${String(value)}`, ...(paper ? [`paper: ${paper}`] : [])];
      return `      --${kebab(key).padEnd(23)} ${description} (${notes.join('; ')})`;
    },
  );
  return lines.join('\n');
}
