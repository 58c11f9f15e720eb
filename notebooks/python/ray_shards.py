"""A Ray job whose two workers are ranks: each sends its shard of every data set to `dpg serve`, and gets the rewards of its own examples.

    npx dpg serve sixty-seven --prompts 8 --group-size 8 &
    python notebooks/python/ray_shards.py exported/sixty-seven-data/data/train.jsonl

The workers may run anywhere in the cluster; nothing but the server joins what they have sampled.
"""

import argparse
import json
from pathlib import Path

import ray

from dpg_client import Rewards


@ray.remote(num_cpus=1)
class Worker:
    """Holds a part of the texts, as a worker that samples would."""

    def __init__(self, url, token, rank, count, texts):
        self.rewards, self.rank, self.count, self.texts = Rewards(url, token), rank, count, texts

    def tau(self, step):
        return self.rewards.shard(step, texts=self.texts, rank=self.rank, count=self.count)["tau"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines with a response each")
    parser.add_argument("--url", default="http://127.0.0.1:8067")
    parser.add_argument("--token")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--examples", type=int, default=64, help="of a data set: the server's --prompts × --group-size")
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    rows = args.data.read_text().splitlines()
    texts = [json.loads(row)["response"] for row in rows[: args.examples]]
    here = str(Path(__file__).parent)
    ray.init(num_cpus=args.workers, runtime_env={"env_vars": {"PYTHONPATH": here}}, include_dashboard=False, log_to_driver=False)
    size = len(texts) // args.workers
    shards = [texts[rank * size : (rank + 1) * size] for rank in range(args.workers)]
    workers = [Worker.remote(args.url, args.token, rank, args.workers, shard) for rank, shard in enumerate(shards)]
    whole = Rewards(args.url, args.token)
    for step in range(args.steps):
        tau = sum(ray.get([worker.tau.remote(step) for worker in workers]), [])
        same = tau == whole.shard(step, texts=texts)["tau"]
        print(f"step {step}: {len(tau)} rewards from {args.workers} workers, {'the same as' if same else 'other than'} from one")
        assert same
    ray.shutdown()


if __name__ == "__main__":
    main()
