/** Servers of a tiny experiment, and requests to them. */
import type { Experiment } from '../../src/dpg/experiment';
import { rewardApp, type RewardAppOptions } from '../../src/serve/app';
import { listen } from '../../src/serve/listen';

export interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>> & { tau: number[]; error: string };
}

/** A server on a free port. */
export async function serveTiny(experiment: Experiment, options: Partial<RewardAppOptions> = {}) {
  const said: string[] = [];
  const app = rewardApp(experiment, { seconds: 30, say: (text) => said.push(text), ...options });
  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  const request = async (path: string, init: RequestInit = {}): Promise<Answered> => {
    const response = await fetch(`${server.url}${path}`, init);
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text) as Answered['body'] };
  };
  /** Sends a shard; a string goes as it is. */
  const post = (step: number | string, body: unknown, init: RequestInit = {}): Promise<Answered> =>
    request(`/v1/datasets/${step}/examples`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
      headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string>) },
    });
  const metric = async (line: string): Promise<number> => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((each) => each.startsWith(`${line} `))
        ?.slice(line.length) ?? NaN,
    );
  };
  return { ...server, said, request, post, metric };
}
