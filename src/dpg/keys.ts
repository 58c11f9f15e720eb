/**
 * Configuration keys: each with its range, default, unit, description and the paper's value, of which the reference page, `--help`, hover
 * in notebooks, the JSON schema and all error messages are made. The types here are plain, so that notebooks need not check zod's
 * declarations.
 */
import path from 'node:path';
import { z } from 'zod';

/** What people are told of a key beside its range and default. */
interface KeyNotes {
  readonly description: string;
  readonly unit?: string;
  /** The paper's value, in our conventions. */
  readonly paper?: string;
}

/** One key of a configuration; `T` is the type of its value. */
export interface Key<T = unknown> extends KeyNotes {
  /** Absent where the key takes the value of another, see `sameAs`. */
  readonly default?: T;
  /** The key whose value this one has where neither a user nor the experiment gives it: both ends of what does not change. */
  readonly sameAs?: string;
  /** Smallest and largest value, or the choices, in words. */
  readonly range: string;
  /** JSON schema of the value. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly accepts: (value: unknown) => boolean;
  /** The value is a file's name: relative to where one is, and kept as an absolute one, so that a run goes on from anywhere. */
  readonly isFile?: true;
}

/** Keys by name. */
export type Keys = Readonly<Record<string, Key>>;

/** The configuration that keys describe. */
export type ConfigOf<K extends Keys> = { readonly [P in keyof K]: K[P] extends Key<infer T> ? T : never };

type Notes<T> = KeyNotes & ({ readonly default: T } | { readonly sameAs: string });

/** Smallest and largest value, or the choices, in words. */
function rangeOf(json: z.core.JSONSchema.JSONSchema): string {
  if (json.enum) return json.enum.join(' | ');
  if (json.type === 'boolean') return 'true | false';
  if (json.type === 'string') return `text of the form ${json.pattern}`;
  const low = json.exclusiveMinimum !== undefined ? `> ${json.exclusiveMinimum}` : `≥ ${json.minimum}`;
  const high = json.exclusiveMaximum !== undefined ? `< ${json.exclusiveMaximum}` : `≤ ${json.maximum}`;
  return `${json.type === 'integer' ? 'whole number ' : ''}${low}, ${high}`;
}

function keyOf<T>(schema: z.ZodType, notes: Notes<T>): Key<T> {
  const { $schema: _, ...json } = z.toJSONSchema(schema);
  return { ...notes, json, range: rangeOf(json), accepts: (value) => schema.safeParse(value).success };
}

/** A whole number from `min` to `max`. */
export const whole = ({ min, max, ...notes }: { min: number; max: number } & Notes<number>): Key<number> =>
  keyOf(z.number().int().min(min).max(max), notes);

/** A number from `min`, or above `above`, up to `max`, or below `below`. */
export function number(
  options: ({ min: number } | { above: number }) & ({ max: number } | { below: number }) & Notes<number>,
): Key<number> {
  const from = 'min' in options ? z.number().min(options.min) : z.number().gt(options.above);
  const schema = 'max' in options ? from.max(options.max) : from.lt(options.below);
  const { min: _, max: __, above: ___, below: ____, ...notes } = { min: 0, max: 0, above: 0, below: 0, ...options };
  return keyOf(schema, notes);
}

/** One of some texts. */
export const oneOf = <T extends string>(choices: readonly T[], notes: Notes<string>): Key<T> =>
  keyOf(z.enum(choices), notes as Notes<T>);

/** A text that matches a pattern. */
export const text = (pattern: RegExp, notes: Notes<string>): Key<string> => keyOf(z.string().regex(pattern), notes);

/** A file whose name matches a pattern; '' is none. */
export const file = (pattern: RegExp, notes: Notes<string>): Key<string> => ({ ...text(pattern, notes), isFile: true });

/** True or false. */
export const flag = (notes: Notes<boolean>): Key<boolean> => keyOf(z.boolean(), notes);

/** The value that a text on the command line stands for, by the key's type; what is no number stays text, which the key refuses. */
export function valueOfText({ json: { type } }: Key, given: string): unknown {
  if (type === 'boolean') return { true: true, false: false }[given] ?? given;
  if (type === 'string') return given;
  return given.trim() === '' || Number.isNaN(Number(given)) ? given : Number(given);
}

/** A value as error messages show it. */
const shown = (value: unknown): string => (typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'undefined'));

/** Unknown keys and values out of range, one line each. */
function complaints(keys: Keys, owner: string, input: Readonly<Record<string, unknown>>): string[] {
  const unknown = Object.keys(input).filter((name) => !Object.hasOwn(keys, name));
  const wrong = Object.keys(keys).filter((name) => name in input && !keys[name].accepts(input[name]));
  return [
    ...wrong.map((name) => `${name} must be ${keys[name].range} (got ${shown(input[name])})`),
    ...(unknown.length
      ? [`unknown key ${unknown.map((name) => `"${name}"`).join(', ')}; ${owner} has ${Object.keys(keys).join(', ')}`]
      : []),
  ];
}

/** Keys with a value; a caller's undefined is a key left out. */
export const given = (input: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));

/** Defaults of keys, and above them an experiment's own; a key that is the same as another stays out unless it is given. */
export const defaultsOf = (keys: Keys, own: object = {}): Record<string, unknown> => ({
  ...given(Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, key.default]))),
  ...own,
});

/**
 * Fills in defaults.
 * @param owner - the experiment, as errors name it
 * @throws RangeError naming every key that the experiment does not have and every value out of range, with the range
 */
export function parseKeys<K extends Keys>(
  keys: K,
  input: unknown,
  defaults: object = {},
  owner = 'a configuration',
): ConfigOf<K> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new RangeError(`config: a configuration is an object of keys (got ${shown(input)})`);
  const wrong = complaints(keys, owner, given(input));
  if (wrong.length) throw new RangeError(wrong.map((line) => `config: ${line}`).join('\n'));
  const merged = { ...defaultsOf(keys, defaults), ...given(input) };
  const ends = Object.entries(keys).filter(([name, { sameAs }]) => sameAs && !(name in merged));
  const values = { ...merged, ...Object.fromEntries(ends.map(([name, { sameAs }]) => [name, merged[sameAs!]])) };
  const held = (name: string): unknown =>
    keys[name].isFile && values[name] ? path.resolve(values[name] as string) : values[name];
  return Object.fromEntries(Object.keys(keys).map((name) => [name, held(name)])) as ConfigOf<K>;
}

/** JSON schema of a configuration, every key optional. */
export const jsonSchema = (keys: Keys, title: string, own: object = {}): Record<string, unknown> => ({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title,
  type: 'object',
  properties: Object.fromEntries(
    Object.entries(keys).map(([name, { json, description, unit }]) => {
      const value = defaultsOf(keys, own)[name];
      return [name, { ...json, description: unit ? `${description} (${unit})` : description, default: value }];
    }),
  ),
  additionalProperties: false,
});
