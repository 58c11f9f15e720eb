/**
 * Jupyter's wire protocol, version 5.3: one message as ZeroMQ frames `<IDS|MSG> signature header parent metadata content`
 * (https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol).
 */
import { createHmac, randomUUID } from 'node:crypto';

/** A received message, reduced to what a client acts on. */
export interface Message {
  readonly type: string;
  /** `msg_id` of the request that this message answers. */
  readonly parentId: string | undefined;
  readonly content: Record<string, unknown>;
}

const DELIMITER = Buffer.from('<IDS|MSG>');

function sign(key: string, parts: readonly (Buffer | string)[]): string {
  const hash = createHmac('sha256', key);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** Frames of a signed request, and its `msg_id`. */
export function encode(key: string, session: string, type: string, content: object): { id: string; frames: (Buffer | string)[] } {
  const id = randomUUID();
  const header = { msg_id: id, session, username: 'dpg', date: new Date().toISOString(), msg_type: type, version: '5.3' };
  const parts = [header, {}, {}, content].map((part) => JSON.stringify(part));
  return { id, frames: [DELIMITER, sign(key, parts), ...parts] };
}

/** The message in `frames`, or null where the signature is not ours. */
export function decode(key: string, frames: readonly Buffer[]): Message | null {
  const start = frames.findIndex((frame) => frame.equals(DELIMITER));
  const [signature, ...parts] = frames.slice(start + 1);
  if (start < 0 || signature?.toString() !== sign(key, parts)) return null;
  const [header, parent, , content] = parts.map((part) => JSON.parse(part.toString()) as Record<string, unknown>);
  return { type: String(header.msg_type), parentId: parent.msg_id as string | undefined, content };
}
