/** A stand-in for tslab's channel. */
import path from 'node:path';
import { afterEach, beforeEach, vi } from 'vitest';

interface Sent {
  readonly data: Record<string, string>;
  readonly transient: { readonly display_id: string };
  readonly update: boolean;
}

/** What the cell of the running test has sent. */
export const sent: Sent[] = [];

beforeEach(() => {
  sent.length = 0;
  const lastWriteDisplayData = (content: Omit<Sent, 'update'>, update: boolean) => sent.push({ ...content, update });
  const cache = { a: { filename: path.normalize('/x/tslab/dist/jupyter.js'), exports: { lastWriteDisplayData } } };
  vi.stubGlobal('__tslab__', { require: { cache } });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});
