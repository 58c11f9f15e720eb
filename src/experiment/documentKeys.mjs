// Writes what each key of the configuration is, and the paper's value, as TSDoc into dist/experiment/config.d.ts: hover in notebooks shows it.
// The schema in config.ts has these texts as data, from where the reference page and the help take them too.
// Usage: node src/experiment/documentKeys.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { configKeys } = require('../../dist/experiment/config.js');
const file = require.resolve('../../dist/experiment/config.d.ts');

let declarations = readFileSync(file, 'utf8');
for (const { key, description, paper } of configKeys()) {
  const line = new RegExp(String.raw`^    (?=${key}: z\.)`, 'm');
  if (!line.test(declarations)) throw new Error(`${file} declares no key ${key}`);
  declarations = declarations.replace(line, () => `    /** ${description}.${paper ? ` Paper: ${paper}.` : ''} */\n    `);
}
writeFileSync(file, declarations);
