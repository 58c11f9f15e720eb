/**
 * HTTP to a hub that may be wrong, slow or hostile. `@huggingface/hub` asks through it (its functions take a `fetch`), and the bytes of
 * files come through it. Whatever is asked ends: a silent connection is given up, an answer has a largest size and a longest time, and what
 * broke is tried again only a few times, after growing pauses. The token goes to the hub's own origin alone, whatever links and redirects
 * say.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HubApiError } from '@huggingface/hub';
import type * as Undici from 'undici';
import type { z } from 'zod';
import { parseJson } from '../../files/json';
import { printable, shorten } from '../../files/printable';
import type { Patience } from './access';

/** Loaded by the first question: it takes longer than all else that a start of `dpg` loads, and most ask no hub. */
const undici = (): typeof Undici => require('undici') as typeof Undici;

/** How often one thing is tried. */
export const TRIES = 4;

const MAX_ANSWER = 16e6; // bytes; a page of a listing has 1,000 files and about 300,000
const MAX_PAGES = 50;

/** The hub cannot be reached, or has no time: what may be otherwise in a moment. */
export class UnreachableError extends Error {}

/** A hub that is talked to; the caller closes it. */
export interface Connection {
  readonly endpoint: string;
  readonly token?: string;
  readonly patience: Patience;
  readonly proxies: Undici.Dispatcher;
}

/** @throws Error for a proxy in the environment that cannot be one */
export function connect(endpoint: string, token: string | undefined, patience: Patience): Connection {
  const { silence } = patience;
  try {
    const limits = { headersTimeout: silence, bodyTimeout: silence, connect: { timeout: silence } };
    return { endpoint, token, patience, proxies: new (undici().EnvHttpProxyAgent)(limits) };
  } catch (error) {
    // without the cause, which holds the address and a password in it
    throw new Error(`HTTP_PROXY or HTTPS_PROXY is not the address of a proxy (http://host:port): ${(error as Error).message}`);
  }
}

/** Waits before try `n` + 1. */
export const pauseAfter = async (n: number, { pause }: Patience): Promise<void> => void (await sleep(pause * 2 ** (n - 1)));

/**
 * A `fetch` for the hub's library: every answer is whole, no larger than {@link MAX_ANSWER} and, where it is no refusal, of the given
 * shape. It is for one question, of which a hub may give the answer on {@link MAX_PAGES} pages.
 */
export function askingFetch(hub: Connection, shape: z.ZodType): typeof fetch {
  let pages = 0;
  return async (input, init) => {
    if (++pages > MAX_PAGES) throw new Error(`its answer has more than ${MAX_PAGES} pages`);
    const url = new URL(input instanceof Request ? input.url : input);
    const { status, headers, text } = await persistently(hub.patience, async () => {
      const response = await request(hub, url, { ...init, signal: AbortSignal.timeout(10 * hub.patience.silence) });
      return { status: response.status, headers: response.headers, text: await wholeText(hub, response) };
    });
    if (status < 300) parseJson(`the answer to ${shorten(url.pathname, 100)}`, text, shape);
    const kept = ['content-type', 'link', 'x-error-code'].flatMap((name) =>
      headers.has(name) ? [[name, headers.get(name)!]] : [],
    );
    return new Response([204, 205, 304].includes(status) ? null : text, { status, headers: kept as [string, string][] });
  };
}

/** Bytes of a file, and from where in it they are: a hub need not heed a range. */
export interface Content {
  readonly from: number;
  readonly stream: AsyncIterable<Uint8Array>;
}

/**
 * The content of a file of `size` bytes from byte `from` on, in one try.
 * @throws UnreachableError; HubApiError for a refusal; while it is read, UnreachableError where the connection breaks
 */
export async function openContent(hub: Connection, url: URL, from: number, size: number): Promise<Content> {
  const response = await request(hub, url, { headers: from > 0 ? { Range: `bytes=${from}-${size - 1}` } : {} });
  const begin = response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0;
  if (response.ok && begin <= from) return { from: begin, stream: chunks(hub, response) };
  await response.body?.cancel();
  if (response.ok) throw new Error(`it sends other bytes of a file than it was asked for (from ${begin}, not ${from})`);
  throw new HubApiError('', response.status, undefined, response.statusText);
}

async function persistently<T>(patience: Patience, attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (tried === TRIES || !(error instanceof UnreachableError)) throw error;
    }
    await pauseAfter(tried, patience);
  }
}

/** @throws UnreachableError also where the hub has no time for an answer */
async function request(hub: Connection, url: URL, init: RequestInit): Promise<Undici.Response> {
  const headers = new (undici().Headers)(init.headers as Undici.HeadersInit);
  headers.set('Accept-Encoding', 'identity'); // ranges are of the file's own bytes
  const isOwn = url.origin === new URL(hub.endpoint).origin;
  if (hub.token && isOwn) headers.set('Authorization', `Bearer ${hub.token}`); // a redirect elsewhere drops it
  const response = await undici()
    .fetch(url, { headers, signal: init.signal, dispatcher: hub.proxies })
    .catch((error: unknown) => {
      throw failure(hub, error);
    });
  if (response.status !== 429 && response.status < 500) return response;
  await response.body?.cancel();
  throw new UnreachableError(`${hub.endpoint} answers ${response.status} ${printable(shorten(response.statusText, 80))}`.trim());
}

async function* chunks(hub: Connection, { body }: Undici.Response): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body ?? []) yield chunk as Uint8Array;
  } catch (error) {
    throw failure(hub, error);
  }
}

async function wholeText(hub: Connection, response: Undici.Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks(hub, response)) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER) throw new Error(`its answer is longer than ${MAX_ANSWER / 1e6} MB`);
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** What distorts HTTP itself, unlike a network that fails. */
const DISTORTED = /^(HPE_|Z_|UND_ERR_(HEADERS_OVERFLOW|RES|INVALID))/;

/** What a failed request means: the hub cannot be reached, or it does not speak as a hub does. */
function failure({ endpoint, patience }: Connection, error: unknown): Error {
  const { name } = error as Error;
  let deepest = error as NodeJS.ErrnoException; // fetch wraps what happened, proxies once more
  while (deepest.cause instanceof Error) deepest = deepest.cause;
  const { code, message } = deepest;
  const seconds = patience.silence / 1000;
  if (name === 'TimeoutError') return new Error(`its answer is not whole after ${10 * seconds} s`);
  if (typeof code !== 'string' || DISTORTED.test(code)) return new Error(printable(shorten(message, 200)));
  const isSilent = /^UND_ERR_(HEADERS|BODY|CONNECT)_TIMEOUT$/.test(code);
  const reason = isSilent ? `it sent nothing for ${seconds} s` : code.startsWith('UND_ERR') ? message : code;
  return new UnreachableError(`cannot reach ${endpoint} (${printable(shorten(reason, 200))})`);
}
