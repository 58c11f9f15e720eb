/**
 * `{ seed }` in a cell becomes `{ seed: seed }` before tslab sees it: of a variable that an earlier cell declares, tslab finds only the
 * second, and the first fails with "seed is not defined". Both mean the same everywhere.
 */
import type * as ts from 'typescript';

/** The part of the TypeScript compiler in use here: in a kernel it is tslab's own copy. */
export type TypeScript = Pick<typeof ts, 'createSourceFile' | 'forEachChild' | 'isShorthandPropertyAssignment' | 'ScriptTarget'>;

/** The code with every shorthand property written out; its lines stay where they are. */
export function writeOutShorthand(code: string, typeScript: TypeScript): string {
  const { createSourceFile, forEachChild, isShorthandPropertyAssignment, ScriptTarget } = typeScript;
  const names: ts.Identifier[] = [];
  const visit = (node: ts.Node): void => {
    if (isShorthandPropertyAssignment(node)) names.push(node.name);
    forEachChild(node, visit);
  };
  visit(createSourceFile('cell.ts', code, ScriptTarget.Latest));
  return names.reduceRight((text, { end, text: name }) => `${text.slice(0, end)}: ${name}${text.slice(end)}`, code);
}
