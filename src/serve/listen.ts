/** An application on a port, until it is to end. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { RewardApp } from './app';

/** Connections that wait to be taken while the event loop is busy; more are refused by the system, or come again. */
const BACKLOG = 4096;
/** Milliseconds that a connection has to take its answer, or to finish its request, after the last rewards. */
const GRACE = 5_000;

/** A server that listens. */
export interface Listening {
  /** Where, as a URL. */
  readonly url: string;
  /** Takes no more requests, answers those that it has, and closes. */
  readonly close: () => Promise<void>;
}

/**
 * Listens.
 * @param options.port - 0 takes a free one
 * @throws Error where the port is taken, or the address is not this machine's
 */
export async function listen({ app, end }: RewardApp, { host, port }: { host: string; port: number }): Promise<Listening> {
  let closing = false;
  const answer = async (request: Request): Promise<Response> => {
    const response = await app.fetch(request);
    if (closing) response.headers.set('connection', 'close');
    return response;
  };
  const server = createAdaptorServer({ fetch: answer, overrideGlobalObjects: false }) as Server;
  server.listen({ host, port, backlog: BACKLOG });
  await once(server, 'listening');
  const { address, family, port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`,
    async close() {
      closing = true;
      const closed = once(server, 'close');
      server.close();
      await end();
      const timer = setTimeout(() => server.closeAllConnections(), GRACE);
      await closed;
      clearTimeout(timer);
    },
  };
}
