// Writes the types of the configuration plainly into dist/dpg/config.d.ts, with what each key is and the paper's value as TSDoc: hover in
// notebooks shows it, and their type checker need not read zod's declarations (a third of a second of the import cell).
// The schema in config.ts has these texts as data, from where the reference page and the help take them too.
// Usage: node src/dpg/declareConfig.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';

const require = createRequire(import.meta.url);
const { configKeys, configSchema } = require('../../dist/dpg/config.js');
const file = require.resolve('../../dist/dpg/config.d.ts');

/** The TypeScript type of a key. */
function typeOf(key) {
  const { type, enum: choices } = z.toJSONSchema(configSchema.shape[key], { io: 'input' });
  if (choices) return choices.map((choice) => JSON.stringify(choice)).join(' | ');
  return type === 'integer' ? 'number' : type;
}

const keys = configKeys().map(({ key, description, paper }) => {
  const notes = `${description}.${paper ? ` Paper: ${paper}.` : ''}`;
  return `    /** ${notes} */\n    ${key}: ${typeOf(key)};\n`;
});
const plain = `/** A complete configuration. */
export interface Config {
${keys.join('')}}
/** What a user writes: any subset of the keys. */
export type ConfigInput = Partial<Config>;
`;

const declarations = readFileSync(file, 'utf8');
const inferred = /^\/\*\* Keys that every experiment has\. \*\/[^]*^export type ConfigInput = .*\n/m;
if (!inferred.test(declarations)) throw new Error(`${file} has no inferred types to replace`);
writeFileSync(file, declarations.replace(inferred, () => plain).replace("import { z } from 'zod';\n", ''));
