/** The Python client and the examples with TRL and Ray, each beside a server of its own. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, dpg, type Run } from '../cli/dpg';
import { has, PYTHON, SCRIPTS } from './python';

const python = async (...args: string[]): Promise<string> => {
  const env = { ...process.env, PYTHONPATH: SCRIPTS, HF_HUB_OFFLINE: '1' };
  return (await promisify(execFile)(PYTHON, args, { cwd: folder, env, maxBuffer: 2 ** 26 })).stdout;
};

let folder: string;
const servers: Run[] = [];
beforeAll(() => {
  build();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-python-test-'));
}, 120_000);
afterAll(() => {
  for (const { process } of servers) process.kill('SIGTERM');
  fs.rmSync(folder, { recursive: true });
});

/** Serves "67"; the address. */
async function serve(...args: string[]): Promise<string> {
  const server = dpg('serve', 'sixty-seven', '--port', '0', ...args);
  servers.push(server);
  await server.prints('http://');
  return /http:\S+/.exec(server.stdout())![0];
}

let made: Promise<string> | undefined;
/** What `dpg export` makes of a run of one small step, made once. */
const exported = (): Promise<string> => (made ??= makeExported());

async function makeExported(): Promise<string> {
  const run = path.join(folder, 'run');
  const sizes = ['--steps=1', '--prompts=8', '--minibatch=16', '--max-new-tokens=24', '--held-out-examples=1536'];
  for (const args of [
    ['train', 'sixty-seven', ...sizes, '--learning-rate=1e-6', '--out', run],
    ['export', run, '--out', path.join(folder, 'exported')],
  ])
    expect(await dpg(...args).exit).toBe(0);
  return path.join(folder, 'exported');
}

const CLIENT = `
import sys, threading
from dpg_client import RewardError, Rewards, trl_reward
url, token = sys.argv[1:]
rewards = Rewards(url, token, timeout=60)
assert rewards.health() == {"status": "ok"}
texts = ["a river", "the old town", "of stone", "in the north", "a castle", "by the sea", "it was", "built"]
whole = rewards.shard(3, texts=texts)["tau"]
assert len(set(whole)) == 8
parts = [None] * 4
def send(rank):
    parts[rank] = rewards.shard(3, texts=texts[2 * rank : 2 * rank + 2], rank=rank, count=4)["tau"]
threads = [threading.Thread(target=send, args=[rank]) for rank in (3, 1, 0, 2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sum(parts, []) == whole
class State: global_step = 7
logged = {}
ids = [[1, 2, 3]] * 4 + [[4, 5]] * 4
scaled = trl_reward(rewards, updates_per_data_set=2)(completion_ids=ids, trainer_state=State, log_metric=logged.__setitem__, prompts=[])
assert abs(sum(x * x for x in scaled) / 8 - (sum(scaled) / 8) ** 2 - 1) < 1e-5, scaled
assert set(logged) == {"phi", "pixel_accuracy"}, logged
stranger, liar = Rewards(url), Rewards(url, token + "x")
for client, status, word in [(stranger, 401, "Authorization"), (liar, 401, "bearer token"), (rewards, 400, "texts.0")]:
    try:
        client.shard(0, texts=["\\u4e2d"] * 8)
        raise SystemExit("it was taken")
    except RewardError as error:
        assert error.status == status and word in str(error), error
print("all well")
`;

test.skipIf(!has('json'))('the client: whole, shards, TRL’s reward function, errors', async () => {
  const token = 'a-token-of-some-length';
  fs.writeFileSync(path.join(folder, 'token'), token);
  const url = await serve('--prompts=4', '--group-size=2', '--token-file', path.join(folder, 'token'));
  expect(await python('-c', CLIENT, url, token)).toBe('all well\n');
});

test.skipIf(!has('ray'))('Ray: two workers get the rewards of one', async () => {
  const data = path.join(await exported(), 'sixty-seven-data/data/train.jsonl');
  const url = await serve('--prompts=8', '--group-size=8');
  const out = await python(path.join(SCRIPTS, 'ray_shards.py'), data, '--url', url);
  expect(out.trim().split('\n')).toEqual(
    [0, 1, 2].map((step) => `step ${step}: 64 rewards from 2 workers, the same as from one`),
  );
});

test.skipIf(!has('trl'))('TRL: GRPOTrainer draws all 42 pixels', async () => {
  const generator = await exported();
  const url = await serve('--prompts=64', '--group-size=8', '--max-new-tokens=24', '--strength-end=6000', '--steps=48');
  const out = await python(path.join(SCRIPTS, 'grpo_sixty_seven.py'), generator, '--url', url);
  expect(out).toMatch(/^data set 0: Φ -\S+, [12]\d of 42 pixels/m); // as good as chance
  expect(out).toMatch(/^held-out prompts: Φ -\S+, 42 of 42 pixels$/m);
});
