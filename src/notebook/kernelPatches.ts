/**
 * What a notebook mends in the tslab kernel it runs in: output that gets lost, and code that fails although it is right.
 */
import { writeOutShorthand, type TypeScript } from './shorthand';
import { loadedModules, type Channel } from './tslab';

interface PublisherSocket {
  sendTimeout: number;
  sendHighWaterMark: number;
  readonly send: (frames: unknown) => Promise<void>;
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
interface Request {
  readonly code: string;
}
interface Handler {
  handleExecuteImpl: (request: Request, writeStream: WriteStream, writeDisplayData: Channel) => Promise<unknown>;
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

/**
 * Cells get shorthand properties and joined text: tslab sends a message for every `console.log`, and Jupyter's server drops them beyond
 * 1000 a second.
 */
function mendCells(): void {
  const [typeScript] = loadedModules<TypeScript>('@tslab/typescript-for-tslab/lib/typescript.js');
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
        const code = writeOutShorthand(request.code, typeScript);
        return await execute.call(this, { ...request, code }, write, display);
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

/** Mends the kernel that this process is. */
export function installKernelPatches(): void {
  keepAllOutput();
  mendCells();
  forgiveLastHeartbeat();
}
