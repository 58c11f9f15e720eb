/**
 * mathjs loads from a thousand files, half a second of a notebook's import cell, since danfojs-node asks for it. Its one-file build has the same functions.
 */
import Module, { createRequire } from 'node:module';

/** Has `require('mathjs')` answered by the one-file build, which is loaded when first asked for. */
export function installOneFileMathjs(): void {
  const danfo = createRequire(require.resolve('danfojs-node'));
  const [manyFiles, oneFile] = [danfo.resolve('mathjs'), danfo.resolve('mathjs/lib/browser/math.js')];
  const standIn = Object.assign(new Module(manyFiles), { filename: manyFiles, loaded: true });
  danfo.cache[manyFiles] ??= Object.defineProperty(standIn, 'exports', { get: () => danfo(oneFile) as unknown });
}
