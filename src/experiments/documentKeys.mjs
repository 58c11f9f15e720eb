// Writes what each configuration key is, and the paper's value, as TSDoc into the declarations in dist/: hover in notebooks shows it.
// The keys have these texts as data, from where the reference page and the help take them too.
// Usage: node src/experiments/documentKeys.mjs
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import ts from 'typescript';

const require = createRequire(import.meta.url);
const DIST = path.join(import.meta.dirname, '../../dist');

/** Exported objects of keys of a module: [name, keys]. */
const keySets = (exported) =>
  Object.entries(exported).filter(([name]) => /keys$/i.test(name) && typeof exported[name] === 'object');

/** Hover's text for a key. */
const notes = ({ description, unit, range, paper }) =>
  `${description}. ${[range, unit].filter(Boolean).join(', ')}.${paper ? ` Paper: ${paper}.` : ''}`.replaceAll('*/', '* /');

/** Where the members of an exported object's type are declared: [position, name]. */
function members(source, exported) {
  const statements = source.statements
    .filter(ts.isVariableStatement)
    .flatMap(({ declarationList }) => [...declarationList.declarations]);
  const { type } = statements.find(({ name }) => name.getText(source) === exported) ?? {};
  return (type?.members ?? []).map((member) => [member.getStart(source), member.name.getText(source)]);
}

function document(file) {
  const sets = keySets(require(file.replace('.d.ts', '.js')));
  if (!sets.length) return;
  const text = readFileSync(file, 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
  const inserted = sets.flatMap(([name, keys]) => members(source, name).map(([at, key]) => [at, `/** ${notes(keys[key])} */ `]));
  const before = (documented, at) => documented.slice(0, at).replace(/\/\*\* (?:(?!\*\/).)*\*\/ $/, ''); // of an earlier build
  const last = (documented, [at, note]) => before(documented, at) + note + documented.slice(at);
  writeFileSync(file, inserted.sort(([a], [b]) => b - a).reduce(last, text));
}

const experiments = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts'));
for (const file of ['dpg/config.ts', ...experiments.map((name) => `experiments/${name}`)])
  document(path.join(DIST, file.replace(/ts$/, 'd.ts')));
