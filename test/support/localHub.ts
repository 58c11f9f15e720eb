/**
 * A hub on this computer: the endpoints of huggingface.co that a download asks, and the ways in which they fail.
 * Files from 1,000 bytes on are "large": listed with their SHA-256 and served by a redirect to another origin, as on the hub.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One repository and how it behaves. */
export interface LocalRepository {
  readonly files: Record<string, Buffer>;
  /** Needs the token `hf_good` to read files. */
  readonly gated?: boolean;
  /** How it answers otherwise than a hub would; where it returns false, it answers as one. */
  readonly misbehaves?: (asked: Asked, response: ServerResponse) => boolean;
}

/** What is asked for: the model's info, its listing, or a file, on the hub or where that redirects to. */
export interface Asked {
  readonly about: 'info' | 'listing' | 'file' | 'cdn';
  readonly file: string;
  /** How often this was asked for already. */
  readonly before: number;
  readonly request: IncomingMessage;
}

/** A running hub; its settings may be changed between requests. */
export interface LocalHub {
  readonly url: string;
  readonly repositories: Record<string, LocalRepository>;
  /** Bytes after which the connection breaks, for the next requests of a file's content. */
  readonly cuts: Record<string, number[]>;
  /** Bytes that are sent instead of those of a file, of the same length. */
  readonly tampered: Record<string, Buffer>;
  /** What was asked for: path, range, authorization, host. */
  readonly requests: { url: string; range?: string; authorization?: string; host?: string }[];
  readonly close: () => Promise<void>;
}

const COMMIT = '607a30d783dfa663caf39e06633721c8d4cfcd7e';
const LARGE = 1000;
const ABOUT: Record<string, Asked['about']> = { revision: 'info', tree: 'listing', resolve: 'file' };

const digest = (file: Buffer): { oid: string; sha256: string } => ({
  oid: createHash('sha1').update(`blob ${file.length}\0`).update(file).digest('hex'),
  sha256: createHash('sha256').update(file).digest('hex'),
});

export async function localHub(repositories: Record<string, LocalRepository>): Promise<LocalHub> {
  const server = createServer((request, response) => answer(hub, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hub: LocalHub = { url, repositories, cuts: {}, tampered: {}, requests: [], close: () => closed(server) };
  return hub;
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function answer(hub: LocalHub, request: IncomingMessage, response: ServerResponse): void {
  const { range, authorization, host } = request.headers;
  const url = new URL(request.url!, hub.url);
  hub.requests.push({ url: url.pathname, range, authorization, host });
  const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const [from, api] = parts[0] === 'api' ? [2, parts[4]] : parts[0] === 'cdn' ? [1, 'cdn'] : [0, parts[2]];
  const name = parts.slice(from, from + 2).join('/');
  const repository = hub.repositories[name];
  if (!repository) return send(response, 401, { error: 'Invalid username or password.' }, { 'X-Error-Code': 'RepoNotFound' });
  const rest = parts.slice(from + 3);
  const asked = {
    about: ABOUT[api] ?? 'cdn',
    file: (api === 'cdn' ? rest[0] : rest[1]) ?? '',
    before: hub.requests.filter((each) => each.url === url.pathname).length - 1,
    request,
  };
  if (repository.misbehaves?.(asked, response)) return;
  if (api === 'revision') return revision(name, rest[0], response);
  if (api === 'tree') return send(response, 200, tree(repository));
  if (api === 'resolve' && repository.gated && authorization !== 'Bearer hf_good')
    return send(response, authorization ? 403 : 401, { error: `Access to model ${name} is restricted.` });
  const file = repository.files[api === 'cdn' ? rest[0] : rest[1]];
  if (!file) return send(response, 404, { error: 'Entry not found' }, { 'X-Error-Code': 'EntryNotFound' });
  if (api === 'resolve' && file.length >= LARGE) {
    const elsewhere = hub.url.replace('127.0.0.1', 'localhost'); // another origin
    return void response.writeHead(302, { Location: `${elsewhere}/cdn/${name}/x/${rest[1]}` }).end();
  }
  content(hub, api === 'cdn' ? rest[0] : rest[1], file, range, response);
}

function revision(name: string, wanted: string, response: ServerResponse): void {
  if (wanted !== 'main' && wanted !== COMMIT) return send(response, 404, { error: `Invalid rev id: ${wanted}` });
  send(response, 200, { _id: '1', id: name, private: false, lastModified: '2024-02-19T10:57:45.000Z', sha: COMMIT });
}

const tree = ({ files }: LocalRepository): object[] => [
  { type: 'directory', oid: '0'.repeat(40), size: 0, path: 'onnx' },
  ...Object.entries(files).map(([path, file]) => {
    const { oid, sha256 } = digest(file);
    return {
      type: 'file',
      oid,
      size: file.length,
      path,
      ...(file.length >= LARGE && { lfs: { oid: sha256, size: file.length } }),
    };
  }),
];

function content(hub: LocalHub, name: string, file: Buffer, range: string | undefined, response: ServerResponse): void {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const [begin, end] = first === undefined ? [0, file.length] : [Number(first), Math.min(file.length, Number(last) + 1)];
  const body = (hub.tampered[name] ?? file).subarray(begin, end);
  response.writeHead(first === undefined ? 200 : 206, {
    'Content-Length': String(body.length),
    'Content-Range': `bytes ${begin}-${end - 1}/${file.length}`,
    ETag: `"${digest(file).sha256}"`,
  });
  const isProbe = body.length === 1 && begin === 0;
  const cut = isProbe ? undefined : hub.cuts[name]?.shift();
  if (cut === undefined) return void response.end(body);
  response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20)); // the bytes get through, the rest does not
}
