/**
 * The tslab kernel this process may be, reached through what it leaves in `globalThis.__tslab__`.
 *
 * tslab's public display API sends one MIME type a message; its own channel, used here, sends bundles.
 */
import path from 'node:path';

/** Representations of one output by MIME type; the front end shows the richest it knows. */
export type MimeBundle = Readonly<Record<string, unknown>>;

interface DisplayData {
  readonly data: MimeBundle;
  readonly metadata: object;
  readonly transient: { readonly display_id: string };
}
type Channel = (content: DisplayData, update: boolean) => void;

interface PublisherSocket {
  sendTimeout: number;
  sendHighWaterMark: number;
  readonly send: (frames: unknown) => Promise<void>;
}

/** A loaded CommonJS module of the kernel's process, by the end of its file name. */
function loadedModules<Exports>(suffix: string): Exports[] {
  const kernel = (globalThis as { __tslab__?: { require: NodeJS.Require } }).__tslab__;
  const modules = Object.values(kernel?.require.cache ?? {});
  const found = modules.filter((module) => module?.filename.endsWith(path.normalize(suffix)));
  return found.map((module) => module?.exports as Exports);
}

/** True inside a tslab kernel. */
export const inKernel = (): boolean => '__tslab__' in globalThis;

/** Sends an output to the cell that runs now; false outside a kernel. */
export function sendDisplay(data: MimeBundle, id: string, update: boolean): boolean {
  // A global tslab hands over to the project's own: two copies are loaded, one is in use.
  const loaded = loadedModules<{ lastWriteDisplayData: Channel | null }>('tslab/dist/jupyter.js');
  const channel = loaded.find((module) => module.lastWriteDisplayData)?.lastWriteDisplayData;
  channel?.({ data, metadata: {}, transient: { display_id: id } }, update);
  return channel !== undefined;
}

/**
 * Keeps tslab from losing output. zeromq.js takes about 500 messages in one turn of the event loop and rejects the rest, which tslab
 * ignores, the final "idle" among them; with a send time-out of 0 and no high-water mark it takes them all. The socket is tslab's
 * secret, so it is met at its next `send`.
 */
function keepAllOutput(): void {
  for (const { Publisher } of loadedModules<{ Publisher: { prototype: PublisherSocket } }>('zeromq/lib/index.js')) {
    const prototype = Publisher.prototype;
    const send = prototype.send;
    const value = function (this: PublisherSocket, frames: unknown): Promise<void> {
      delete (prototype as { send?: unknown }).send; // the one inherited shows again
      this.sendTimeout = 0;
      this.sendHighWaterMark = 0;
      return send.call(this, frames);
    };
    Object.defineProperty(prototype, 'send', { configurable: true, value });
  }
}

type WriteStream = (name: string, text: string) => void;
interface Handler {
  handleExecuteImpl: (request: object, writeStream: WriteStream, writeDisplayData: Channel) => Promise<unknown>;
}

/** Milliseconds between two messages of text. */
const TEXT_INTERVAL = 20;

/** Joins what is written within {@link TEXT_INTERVAL}. */
function joined(writeStream: WriteStream): { write: WriteStream; flush: () => void } {
  let [name, text, sent] = ['', '', -Infinity];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (!text) return;
    writeStream(name, text);
    [text, sent] = ['', performance.now()];
  };
  const write = (stream: string, more: string) => {
    if (stream !== name) flush();
    [name, text] = [stream, text + more];
    if (performance.now() - sent >= TEXT_INTERVAL) flush();
    else timer ??= setTimeout(flush, TEXT_INTERVAL);
  };
  return { write, flush };
}

/** tslab sends a message for every `console.log`, and Jupyter's server drops them beyond 1000 a second. */
function joinText(): void {
  for (const { JupyterHandlerImpl } of loadedModules<{ JupyterHandlerImpl?: { prototype: Handler } }>('tslab/dist/jupyter.js')) {
    if (!JupyterHandlerImpl) continue;
    const execute = JupyterHandlerImpl.prototype.handleExecuteImpl;
    JupyterHandlerImpl.prototype.handleExecuteImpl = async function (request, writeStream, writeDisplayData) {
      const { write, flush } = joined(writeStream);
      const display: Channel = (content, update) => {
        flush(); // outputs keep their order
        writeDisplayData(content, update);
      };
      try {
        return await execute.call(this, request, write, display);
      } finally {
        flush();
      }
    };
  }
}

/** A heartbeat that arrives while tslab closes its sockets is no error; unanswered it would be reported as one on stderr. */
function forgiveLastHeartbeat(): void {
  for (const { Reply } of loadedModules<{ Reply: { prototype: PublisherSocket } }>('zeromq/lib/index.js')) {
    const send = Reply.prototype.send;
    const value = function (this: PublisherSocket, frames: unknown): Promise<void> {
      return send.call(this, frames).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EBADF') throw error;
      });
    };
    Object.defineProperty(Reply.prototype, 'send', { configurable: true, value });
  }
}

keepAllOutput();
joinText();
forgiveLastHeartbeat();
