"""Client of `dpg serve`: metagradients as rewards, for any trainer in Python. One file, the standard library alone.

    rewards = Rewards("http://127.0.0.1:8067")
    paid = rewards.shard(step, texts=responses, rank=0, count=1)   # waits until the data set is complete
    paid["tau"], paid["tau_std"], paid["phi"], paid["metrics"]

    GRPOTrainer(..., reward_funcs=trl_reward(rewards))              # TRL
"""

import json
import os
import urllib.error
import urllib.request


class RewardError(RuntimeError):
    """The server's sentence; `status` is 4xx for a request that does not fit, 5xx for rewards that cannot be computed."""

    def __init__(self, status, message):
        super().__init__(f"{message} (HTTP {status})")
        self.status = status


class Rewards:
    """A server of rewards.

    token: what `--token-file` holds; None where the server asks for none.
    timeout: seconds that a data set may take, its rewards included; None waits for ever.
    """

    def __init__(self, url, token=None, timeout=None):
        self.url, self.timeout = url.rstrip("/"), timeout
        self.headers = {"content-type": "application/json"}
        if token is not None:
            self.headers["authorization"] = f"Bearer {token}"

    def shard(self, step, *, texts=None, ids=None, rank=0, count=1):
        """Sends shard `rank` of `count` of a step's data set, as texts or as token ids of the target, and waits for its rewards."""
        shard = {"rank": rank, "count": count, **({"ids": ids} if texts is None else {"texts": texts})}
        return self._ask(f"/v1/datasets/{step}/examples", json.dumps(shard).encode())

    def health(self):
        """Whether the server is up: {"status": "ok"}."""
        return self._ask("/health")

    def _ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, data=body, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RewardError(error.code, _sentence(error)) from None


def _sentence(error):
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return text or error.reason


def trl_reward(rewards, updates_per_data_set=1):
    """The server as a reward function of TRL's GRPOTrainer, whose policy has the target's tokenizer.

    Every process sends what it has sampled as its shard. Metagradients are tiny, and TRL adds 1e-4 to what it divides by: so
    rewards come in units of their standard deviation over the whole data set. Take scale_rewards="none" with it.

    updates_per_data_set: optimizer steps that TRL takes on the samples of one generation, steps_per_generation × num_iterations /
    gradient_accumulation_steps.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def metagradient(completion_ids, trainer_state, log_metric=None, **_):
        step = trainer_state.global_step // updates_per_data_set
        paid = rewards.shard(step, ids=completion_ids, rank=rank, count=count)
        if log_metric is not None:
            for name, value in {"phi": paid["phi"], **paid["metrics"]}.items():
                log_metric(name, value)
        scale = paid["tau_std"] or 1.0  # all rewards equal: nothing to learn from
        return [tau / scale for tau in paid["tau"]]

    return metagradient
