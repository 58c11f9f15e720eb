/** `dpg train`: runs an experiment into a run folder. */
import path from 'node:path';
import { sharedKeys } from '../dpg/config';
import { EXPERIMENTS } from '../experiments/experiments';
import { describeMemory, estimateMemory, isLarge } from '../dpg/memory';
import type { Experiment } from '../dpg/experiment';
import { validate } from '../dpg/validate';
import { joinRanks } from '../model/ranks/collective';
import { endRun } from '../notebook/rerun';
import { describeBackend, startBackend, type BackendChoice } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { keyHelp } from './keyHelp';
import { agreedStop, onRanks, openOnRanks, stepsOf, type AgreedStop, type RankRun } from './ranks';
import { stepLine } from './stepLine';
import { stopRequest } from './stopRequest';
import { definitionOf, experimentAmong, experimentOf, parseArguments, type Arguments } from './trainArguments';

export const summary = 'train a generator by DPG';
const usage = `dpg train EXPERIMENT [--KEY VALUE]… [--config FILE.json] [--out DIR] [--json]
dpg train --resume RUN [--change KEY=VALUE]… [--json]

EXPERIMENT is one of ${Object.keys(EXPERIMENTS).join(', ')}, or a module of your own such as ./my-target.mjs, which
exports \`objective\` and, if it likes, name, keys, defaults, models, observe, prompts, optimizer, reward, sweep.

      --preset NAME     settings and models: tiny, gpt2, paper, for sixty-seven also smollm2; default tiny
      --config FILE     configuration keys as a JSON object; they win over the preset, keys on the command line over both
      --out DIR         run folder; default runs/EXPERIMENT-seedN-TIME
      --resume RUN      goes on with a run, a folder or the name of one in runs/, from its newest checkpoint
      --change KEY=VAL  with --resume: a key that has another value from here on; --steps=N does too, e.g. to extend a finished run
      --checkpoint-steps N, --checkpoint-seconds S
                        a checkpoint after so many steps or seconds, whichever is over first; default 50 and 60
      --generator NAME  the generator: a Hugging Face folder, or a name on the hub such as openai-community/gpt2
      --target NAME     the target, likewise; HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT count
      --evaluator NAME  a model that takes no part: validation asks it how likely the texts are
      --json            one JSON object per step on stdout, then the summary`;

const ending = `On several processes or machines: torchrun --nproc-per-node 2 notebooks/python/dpg_ranks.py train EXPERIMENT --out DIR …
(srun, Ray: notebooks/python/README.md). Started again with the same command, such a run goes on.

Ctrl-C, SIGTERM, SIGHUP, and output that nobody reads, end the run after its current step, with a checkpoint; --resume
goes on.
Exit code: 0 done, 1 an error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 output that nobody reads.`;

export const help = `${usage}

Configuration keys of every experiment; dpg train EXPERIMENT --help shows its own, and its defaults:
${keyHelp({ keys: sharedKeys, defaults: {} })}

${ending}`;

/** The help, with an experiment's own keys and defaults where one is named. */
export async function helpFor(argv: readonly string[]): Promise<string> {
  const experiment = experimentAmong(argv);
  if (experiment === undefined) return help;
  const definition = await definitionOf(experiment);
  return `${usage}\n\nConfiguration keys of ${definition.name}, with its defaults:\n${keyHelp(definition)}\n\n${ending}`;
}

/** Runs the steps, showing each. */
async function runSteps(experiment: Experiment, run: RankRun, { json, checkpoints }: Arguments, stop: AgreedStop): Promise<void> {
  const line = stepLine({ total: experiment.config.steps, out: process.stdout });
  const warn = json ? undefined : line.say;
  for await (const { row, left } of stepsOf(experiment, run, { ...checkpoints, signal: stop.signal, warn })) {
    if (json) console.log(JSON.stringify(row));
    else line.show(row, left);
    await stop.afterStep(row);
  }
  line.end();
}

/** Validates on held-out prompts; rank 0 writes the summary. */
async function finish(experiment: Experiment, { run, state }: RankRun, json: boolean): Promise<void> {
  if (!run) return disposeParams((await validate(experiment, state)).tuned);
  const { after, summary } = await endRun(experiment, run);
  const { examples: _, ...result } = summary;
  const { path: folder } = run.folder;
  const { phi, metrics } = after;
  const read = result.read ? `; read: ${JSON.stringify(result.read)}` : '';
  console.log(
    json
      ? JSON.stringify(result)
      : `held-out prompts: Φ ${phi.toFixed(4)} ${JSON.stringify(metrics)}${read}; run folder ${path.relative('.', folder)}`,
  );
}

function describeStart({ generator, target, config }: Experiment, backend: BackendChoice, folder: string): string {
  const memory = estimateMemory({ generator: generator.model.config, target: target.model.config }, config, backend.name);
  const told = isLarge(memory) ? [] : [describeMemory(memory)]; // what is large has been told before it was loaded
  return [...told, `${describeBackend(backend)}; generator: ${generator.model.engine}; run folder ${folder}`].join('\n');
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const ranks = joinRanks();
  const args = await parseArguments(argv);
  const experiment = onRanks(await experimentOf(args), ranks);
  const { json } = args;
  const backend = await startBackend();
  const current = await openOnRanks(experiment, args, ranks);
  const { run: { folder } = {}, state } = current;
  const say = json ? console.error : console.log;
  const stop = stopRequest();
  const agreed = agreedStop(ranks, stop);
  try {
    if (folder) say(describeStart(experiment, backend, folder.path));
    await runSteps(experiment, current, args, agreed);
    if (agreed.signal.aborted) {
      if (folder) say(`stopped after step ${state.step}; go on with: dpg train --resume ${folder.path}`);
      return agreed.exitCode();
    }
    stop.dispose(); // the checkpoint is taken: what ends the validation may end the process
    await finish(experiment, current, json);
    return 0;
  } finally {
    stop.dispose();
    folder?.close();
    for (const { model } of [experiment.generator, experiment.target]) model.dispose();
    ranks.close();
  }
}
