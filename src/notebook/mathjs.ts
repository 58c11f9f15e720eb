/**
 * mathjs loads from a thousand files, half a second of a notebook's import cell, since danfojs asks for it. Its one-file build has the same
 * functions.
 */
import Module from 'node:module';

/** Has `require('mathjs')` answered by the one-file build, which is loaded when first asked for. */
export function installOneFileMathjs(): void {
  const [manyFiles, oneFile] = [require.resolve('mathjs'), require.resolve('mathjs/lib/browser/math.js')];
  const standIn = Object.assign(new Module(manyFiles), { filename: manyFiles, loaded: true });
  require.cache[manyFiles] ??= Object.defineProperty(standIn, 'exports', { get: () => require(oneFile) as unknown });
}
