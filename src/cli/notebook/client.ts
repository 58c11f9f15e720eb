/**
 * The client side of one kernel's ZeroMQ sockets: requests with their replies, and the stream of outputs.
 */
import { randomUUID } from 'node:crypto';
import { decode, encode, type Message } from './wire';

/** What a kernel's connection file says. */
export interface Connection {
  readonly transport: 'tcp';
  readonly ip: string;
  readonly shell_port: number;
  readonly iopub_port: number;
  readonly stdin_port: number;
  readonly control_port: number;
  readonly hb_port: number;
  readonly key: string;
  readonly signature_scheme: 'hmac-sha256';
}

/** A connected client. */
export interface Client {
  /** Sends a request; settles when its reply and its iopub "idle" have come. */
  ask(channel: 'shell' | 'control', type: string, content: object): Promise<Message>;
  /** Sees every message of iopub but the status changes. */
  onOutput: (message: Message) => void;
  close(): void;
}

/** The part of zeromq in use here: it is tslab's dependency, its types may not be ours to import. */
export interface ZeroMq {
  readonly Dealer: new (options: object) => Socket;
  readonly Subscriber: new (options: object) => Socket & { subscribe(): void };
}

interface Socket extends AsyncIterable<Buffer[]> {
  connect(address: string): void;
  send(frames: (Buffer | string)[]): Promise<void>;
  close(): void;
}

interface Request {
  reply?: Message;
  idle?: true;
  readonly resolve: (reply: Message) => void;
}

/** tslab drops messages under load, "idle" among them: milliseconds after a reply at which to go on without. */
const IDLE_PATIENCE = 2000;

/** Connects to the sockets of `connection`; messages arrive as soon as the kernel has bound them. */
export function connectClient(zmq: ZeroMq, { transport, ip, key, ...ports }: Connection): Client {
  const session = randomUUID();
  const requests = new Map<string, Request>();
  const sockets = {
    shell: new zmq.Dealer({ linger: 0 }),
    control: new zmq.Dealer({ linger: 0 }),
    iopub: new zmq.Subscriber({ linger: 0, receiveHighWaterMark: 0 }),
  };
  const client: Client = {
    ask(channel, type, content) {
      const { id, frames } = encode(key, session, type, content);
      return new Promise((resolve) => {
        requests.set(id, { resolve });
        void sockets[channel].send(frames);
      });
    },
    onOutput: () => {},
    close: () => Object.values(sockets).forEach((socket) => socket.close()),
  };

  const settle = (id: string, { idle, reply, resolve }: Request) => {
    if (!reply) return;
    const finish = () => requests.delete(id) && resolve(reply);
    if (idle) finish();
    else setTimeout(finish, IDLE_PATIENCE).unref();
  };
  const receive = (message: Message) => {
    const id = message.parentId ?? '';
    const request = requests.get(id);
    if (message.type === 'status') {
      if (!request || message.content.execution_state !== 'idle') return;
      request.idle = true;
    } else if (message.type.endsWith('_reply')) {
      if (!request) return;
      request.reply = message;
    } else return client.onOutput(message);
    settle(id, request);
  };
  for (const [name, socket] of Object.entries(sockets)) {
    socket.connect(`${transport}://${ip}:${ports[`${name}_port` as keyof typeof ports]}`);
    void receiveAll(socket, key, receive);
  }
  sockets.iopub.subscribe();
  return client;
}

async function receiveAll(socket: Socket, key: string, receive: (message: Message) => void): Promise<void> {
  for await (const frames of socket) {
    const message = decode(key, frames);
    if (message) receive(message);
  }
}
