"""One run of `dpg train` on several ranks: this file starts `dpg` and sums for it, with torch.distributed.

    torchrun --nproc-per-node 2 --max-restarts 3 notebooks/python/dpg_ranks.py train sixty-seven --out runs/ranks --workers 1
    srun -N 2 -K python3 notebooks/python/dpg_ranks.py train sixty-seven --out runs/ranks --workers 1

Every rank computes a share of the examples. Gradients are summed by gloo, or NCCL where every rank has a GPU of its own. Needs
`pip install torch`. The ranks are those of RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or of Slurm.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

DPG = Path(__file__).resolve().parents[2] / "dist/cli/main.js"
JOINING, FOR_EVER = timedelta(minutes=10), timedelta(days=365)  # a rank may compute for hours; one that ends is noticed at once
GRACE = 4  # seconds in which Node may end by itself, once another rank is gone


def slurm_environment(env):
    """RANK and the like of a task that srun has started."""
    if "RANK" in env or "SLURM_PROCID" not in env:
        return {}
    nodes = env.get("SLURM_STEP_NODELIST", env["SLURM_JOB_NODELIST"])
    first = subprocess.check_output(["scontrol", "show", "hostnames", nodes], text=True).split()[0]
    node = subprocess.check_output(["scontrol", "show", "node", "--oneliner", first], text=True)
    address = next(word for word in node.split() if word.startswith("NodeAddr=")).removeprefix("NodeAddr=")
    port = 20000 + (int(env["SLURM_JOB_ID"]) * 64 + int(env.get("SLURM_STEP_ID", 0)) % 64) % 20000
    defaults = {"MASTER_ADDR": address, "MASTER_PORT": str(port), "LOCAL_RANK": env["SLURM_LOCALID"]}
    return {"RANK": env["SLURM_PROCID"], "WORLD_SIZE": env["SLURM_NTASKS"], **{k: v for k, v in defaults.items() if k not in env}}


class Group:
    """The ranks: their sums, and the news that one has ended."""

    def __init__(self):
        store, self.rank, self.size = next(dist.rendezvous("env://", timeout=JOINING))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun's store still holds the addresses of those before
        store = dist.PrefixStore(f"dpg-{attempt}", store)
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=self.size, timeout=JOINING)
        self.group = dist.new_group(backend="gloo", timeout=FOR_EVER)
        local = int(os.environ.get("LOCAL_RANK", 0))
        everywhere = torch.tensor([int(dist.is_nccl_available() and torch.cuda.device_count() > local)])
        dist.all_reduce(everywhere, dist.ReduceOp.MIN)
        self.device = torch.device("cuda", local) if everywhere.item() else torch.device("cpu")
        self.sums = dist.new_group(backend="nccl", timeout=FOR_EVER) if everywhere.item() else self.group
        self.links = self.connect()

    def sum(self, numbers):
        there = numbers.to(self.device)
        dist.all_reduce(there, group=self.sums)
        if there is not numbers:
            numbers.copy_(there)

    def gather(self, own):
        """The bytes of all ranks, by rank."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([own.numel()]), group=self.group)
        padded = torch.zeros(max(1, *map(int, sizes)), dtype=torch.uint8)
        padded[: own.numel()] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded, group=self.group)
        return [part[: int(size)] for part, size in zip(parts, sizes)]

    def connect(self):
        """Links rank 0 and every other rank: the kernel closes the link of a process that ends, whatever it was doing."""
        server = socket.create_server(("", 0)) if self.rank == 0 else None
        told = torch.tensor([server.getsockname()[1] if server else 0, secrets.randbits(62) if server else 0])
        dist.broadcast(told, 0, group=self.group)
        port, token = told.tolist()
        links = {}
        if server:
            server.settimeout(JOINING.total_seconds())
            while len(links) < self.size - 1:
                link, _ = server.accept()
                words = link.makefile().readline().split()
                if words[:1] == [str(token)]:  # others than ranks may knock
                    links[int(words[1])] = link
            server.close()
        else:
            links[0] = socket.create_connection((os.environ["MASTER_ADDR"], port), timeout=60)
            links[0].sendall(f"{token} {self.rank}\n".encode())
        for link in links.values():
            link.settimeout(None)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # of a machine that is lost, the kernel finds out in 8 s
            for option, value in [("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)]:
                if hasattr(socket, option):
                    link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return links

    def watch(self, gone):
        """Calls gone(sentence) when another rank ends before it has said that it is done."""
        for rank, link in self.links.items():
            threading.Thread(target=self.listen, args=[rank, link, gone], daemon=True).start()

    def listen(self, rank, link, gone):
        try:
            line = link.makefile().readline()
        except OSError:
            line = ""
        if line.strip() == "done":
            return
        sentence = line.strip() or f"rank {rank} of {self.size} has ended: its machine is lost or its process was killed"
        self.tell(sentence)
        gone(sentence)

    def tell(self, line):
        for link in self.links.values():
            try:
                link.sendall(f"{line}\n".encode())
            except OSError:
                pass


class Node:
    """`dpg` as a child, and the memory and the socket that it shares with this process."""

    def __init__(self, group, argv):
        self.group = group
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # has no name, so that nothing is left of it however this ends
        self.socket, theirs = socket.socketpair()
        files = [theirs.fileno(), self.file.fileno()]
        shared = {"DPG_RANKS_SOCKET": str(files[0]), "DPG_RANKS_MEMORY": str(files[1])}
        env = {**os.environ, **shared, "DPG_RANK": str(group.rank), "DPG_RANKS": str(group.size)}
        quiet = {"stdout": subprocess.DEVNULL} if group.rank else {}
        self.process = subprocess.Popen(
            [os.environ.get("NODE", "node"), str(DPG), *argv], env=env, pass_fds=files, start_new_session=True, **quiet
        )
        theirs.close()
        self.lost = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Does what Node asks for with the numbers in the memory."""
        for line in self.socket.makefile():
            word, count = line.split()
            try:
                answer = self.answer(word, int(count))
            except RuntimeError as error:  # another rank has ended, as the watch will say
                self.lost.wait(GRACE)
                self.gone(f"rank {self.group.rank} of {self.group.size} could not sum: {str(error).splitlines()[0]}")
                return
            self.say(f"done {answer}")

    def answer(self, word, count):
        own = torch.empty(0, dtype=torch.uint8)
        if count:
            own = torch.from_file(f"/dev/fd/{self.file.fileno()}", shared=True, size=count, dtype=torch.uint8)
        if word == "sum":
            self.group.sum(own.view(torch.float32))
            return ""
        parts = self.group.gather(own)
        self.file.seek(0)
        for part in parts:
            self.file.write(part.numpy().tobytes())
        return " ".join(str(part.numel()) for part in parts)

    def gone(self, sentence):
        """Has Node end because another rank has; by itself, if it can, with a checkpoint."""
        if self.lost.is_set():
            return
        self.lost.set()
        self.say(f"gone {sentence}: this rank ends, too; start the run again, and it goes on from its last checkpoint")
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            print(f"dpg: {sentence}; this rank was in the midst of its work and ends, too", file=sys.stderr, flush=True)

    def say(self, line):
        try:
            self.socket.sendall(f"{line}\n".encode())
        except OSError:
            pass  # Node has ended, which its exit code says


def main(argv):
    os.environ.update(slurm_environment(os.environ))
    torch.set_num_threads(1)
    group = Group()
    node = Node(group, argv)
    wanted = []

    def stop(number, _):
        """Node hears of the first alone, and as one that no batch system has sent to it, too: the second of a kind ends it at once."""
        if not wanted:
            node.process.send_signal(signal.SIGHUP)
        wanted.append(number)

    for name in ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"]:
        signal.signal(getattr(signal, name), stop)
    group.watch(node.gone)
    code = node.process.wait()
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    group.tell("done" if code in (0, 129, 130, 143) else f"rank {group.rank} of {group.size} has ended with {how}")
    sys.stderr.flush()
    os._exit(128 + wanted[0] if wanted else code if code >= 0 else 1)  # a sum that waits for a rank which is gone would wait on


if __name__ == "__main__":
    main(sys.argv[1:])
