"""A Ray job with one actor a rank: `dpg train` on machines that Ray finds, started again when a rank has ended.

    python notebooks/python/ray_ranks.py --ranks 2 train sixty-seven --out /shared/runs/ranks --workers 1

The project must lie at the same place on every machine, and the run folder where all of them see it.
"""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import ray

LAUNCHER = Path(__file__).resolve().parent / "dpg_ranks.py"


@ray.remote(max_restarts=-1)
class Rank:
    def address(self):
        with socket.create_server(("", 0)) as server:
            return ray.util.get_node_ip_address(), server.getsockname()[1]

    def run(self, rank, size, address, argv, folder):
        host, port = address
        env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": host, "MASTER_PORT": str(port)}
        return subprocess.run([sys.executable, str(LAUNCHER), *argv], env=env, cwd=folder).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=1, help="of a rank: its --workers")
    parser.add_argument("--restarts", type=int, default=3)
    args, argv = parser.parse_known_args()
    ray.init(include_dashboard=False)
    ranks = [Rank.options(num_cpus=args.cpus, scheduling_strategy="SPREAD").remote() for _ in range(args.ranks)]
    for _ in range(args.restarts + 1):
        address = ray.get(ranks[0].address.remote())
        runs = [rank.run.remote(i, args.ranks, address, argv, os.getcwd()) for i, rank in enumerate(ranks)]
        try:
            codes = ray.get(runs)
        except ray.exceptions.RayActorError as error:
            codes = [str(error)]
        if not any(codes):
            return
        print(f"the ranks have ended with {codes}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
