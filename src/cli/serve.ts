/** `dpg serve`: metagradients as rewards over HTTP. */
import { parseArgs } from 'node:util';
import { once } from 'node:events';
import { readText } from '../files/json';
import { rewardApp } from '../serve/app';
import { listen } from '../serve/listen';
import { startBackend } from '../tensor/backend';
import { asUsage, UsageError, wholeNumber } from './command';
import { stopRequest } from './stopRequest';
import { experimentOf, parseArguments } from './trainArguments';

export const summary = 'metagradients as rewards over HTTP, for other trainers';
export const help = `dpg serve EXPERIMENT [--port N] [--host ADDRESS --token-file FILE] [--timeout SECONDS] [--KEY VALUE]…

Pays what a trainer elsewhere has sampled with the metagradients of an experiment's target and objective. EXPERIMENT, its keys, --preset,
--config, --generator and --target are those of dpg train; --prompts × --group-size is the size of every data set, --steps the run that
the schedule is for, --max-new-tokens the length of a response.

      --port N           default 8067; 0 takes a free one
      --host ADDRESS     default 127.0.0.1, which only this machine reaches; any other needs a token
      --token-file FILE  holds the token that requests must bear, at least 16 characters
      --timeout SECONDS  how long a data set may take to arrive; default 600

POST /v1/datasets/{step}/examples takes { "rank": 0, "count": 4, "texts": ["…", …] }, or "ids": [[token, …], …] of the target: shard 0
of 4 of the examples of that step (from 0). Put together in the order of their ranks, the shards of a data set are one training step; its
rewards are the same however it was cut. The answer comes when all have come: { "step", "tau": [x, …], "tau_std", "phi", "metrics" }.
What does not fit is refused (4xx) with a sentence, and nothing is lost: the right request may follow. Rewards that cannot be computed
are a 500 with the cause. GET /health, /metrics (Prometheus) and /openapi.json say the rest; notebooks/python/dpg_client.py is a client.

Ctrl-C, SIGTERM and SIGHUP end it: the data set that is being paid gets its rewards, the others are turned away (503).
Exit code: 1 an error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.`;

const OPTIONS = {
  port: { type: 'string', default: '8067' },
  host: { type: 'string', default: '127.0.0.1' },
  'token-file': { type: 'string' },
  timeout: { type: 'string', default: '600' },
} as const;

/** Options of `dpg train` about run folders. */
const STRAY = ['out', 'resume', 'change', 'json', 'checkpoint-steps', 'checkpoint-seconds'];

const LOOPBACK = /^(localhost|127(\.\d+){3}|::1)$/;

/** The server's own options, and what is left for the experiment. */
function splitArguments(argv: string[]) {
  const { tokens } = parseArgs({ args: argv, options: OPTIONS, strict: false, tokens: true });
  const options = tokens.filter((token) => token.kind === 'option');
  const own = new Set(
    options.flatMap(({ name, index, inlineValue }) => (name in OPTIONS ? [index, ...(inlineValue ? [] : [index + 1])] : [])),
  );
  const stray = options.find(({ name }) => STRAY.includes(name));
  if (stray) throw new UsageError(`dpg serve writes no run folder: leave out --${stray.name}`);
  const { values } = parseArgs({ args: argv.filter((_, i) => own.has(i)), options: OPTIONS });
  return { values, rest: argv.filter((_, i) => !own.has(i)) };
}

/** @throws UsageError for a token that no header can hold, or that is soon guessed */
function readToken(file: string): string {
  const token = asUsage('--token-file', () => readText(file)).trim();
  if (!/^[\w.~+/-]+=*$/.test(token) || token.length < 16)
    throw new UsageError(`--token-file ${file}: a token has at least 16 characters of A–Z a–z 0–9 - . _ ~ + / =, on one line`);
  return token;
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, rest } = splitArguments(argv);
  const { host, 'token-file': file } = values;
  const port = wholeNumber('--port', values.port, [0, 65_535]);
  const seconds = wholeNumber('--timeout', values.timeout, [1, 1_000_000]);
  const token = file === undefined ? undefined : readToken(file);
  if (token === undefined && !LOOPBACK.test(host))
    throw new UsageError(`--host ${host} can be reached from other machines: give a --token-file, too`);
  const experiment = await experimentOf(await parseArguments(rest, 'serve'));
  await startBackend();
  const stop = stopRequest();
  try {
    const app = rewardApp(experiment, { token, seconds, say: (text) => console.error(`dpg: ${text}`) });
    const server = await listen(app, { host, port });
    const { prompts, groupSize, steps } = experiment.config;
    console.log(`${experiment.name}: ${steps} steps of ${prompts * groupSize} examples, at ${server.url}`);
    if (!stop.signal.aborted) await once(stop.signal, 'abort');
    console.error('dpg: ending; what is being paid gets its rewards');
    await server.close();
    return stop.exitCode();
  } finally {
    stop.dispose();
    for (const { model } of [experiment.generator, experiment.target]) model.dispose();
  }
}
