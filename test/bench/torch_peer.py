"""A contestant of the benchmark: PyTorch on the same GPT-2 and batch, driven line by line by bench.mjs.

usage: torch_peer.py FOLDER RESULTS THREADS; then `gradient`, `hvp` or `memory` on stdin, each answered by a line of JSON; other commands are
answered {}. The first answer of a kind also leaves its result in RESULTS/{gradient,hvp,tangents}.f32.
"""
import json
import os
import resource
import sys
import time

folder, results_folder, threads = sys.argv[1:]
os.environ["OPENBLAS_NUM_THREADS"] = threads  # Debian's PyTorch multiplies with it, and set_num_threads does not reach it

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(int(threads))
config = json.load(open(f"{folder}/config.json"))
width, heads, vocab = config["n_embd"], config["n_head"], config["vocab_size"]
size, length = config["size"], config["length"]


def tensors(name):
    """Parameters from one flat file, in the order of config["slots"]."""
    flat = np.fromfile(f"{folder}/{name}.f32", dtype=np.float32)
    return {s["name"]: torch.tensor(flat[s["offset"] : s["offset"] + s["size"]].reshape(s["shape"])) for s in config["slots"]}


params = {name: p.requires_grad_(True) for name, p in tensors("params").items()}
tangent = tensors("tangent")
ids = torch.tensor(np.fromfile(f"{folder}/ids.i32", dtype=np.int32).astype(np.int64)).view(-1, length + 1)[:size]
weights = torch.ones(size, length, requires_grad=True)
causal = torch.triu(torch.full((length, length), -1e9), 1)


def affine(x, name):
    return torch.addmm(params[f"{name}.bias"], x, params[f"{name}.weight"])


def norm(x, name):
    return F.layer_norm(x, (width,), params[f"{name}.weight"], params[f"{name}.bias"], config["layer_norm_epsilon"])


def gelu(u):
    return 0.5 * u * (1 + torch.tanh((2 / np.pi) ** 0.5 * (u + 0.044715 * u * u * u)))


def weighted_loss():
    """(1/B) sum_it w_it CE_it / S."""
    h = (params["transformer.wte.weight"][ids[:, :-1]] + params["transformer.wpe.weight"][:length]).view(-1, width)
    for i in range(config["n_layer"]):
        block = f"transformer.h.{i}"
        qkv = affine(norm(h, f"{block}.ln_1"), f"{block}.attn.c_attn")
        q, k, v = (t.view(size, length, heads, width // heads).transpose(1, 2) for t in qkv.split(width, -1))
        p = torch.softmax(q @ k.transpose(-1, -2) / (width // heads) ** 0.5 + causal, -1)
        h = h + affine((p @ v).transpose(1, 2).reshape(-1, width), f"{block}.attn.c_proj")
        h = h + affine(gelu(affine(norm(h, f"{block}.ln_2"), f"{block}.mlp.c_fc")), f"{block}.mlp.c_proj")
    logits = norm(h, "transformer.ln_f") @ params["lm_head.weight"].t()
    losses = F.cross_entropy(logits, ids[:, 1:].reshape(-1), reduction="none").view(size, length)
    return (losses * weights).sum() / (size * length)


leaves = list(params.values())


def gradient():
    return {"gradient": torch.autograd.grad(weighted_loss(), leaves)}


def hvp():
    """Reverse over reverse: H v, and the token tangents as the derivative by the weights."""
    grads = torch.autograd.grad(weighted_loss(), leaves, create_graph=True)
    along = sum((g * tangent[name]).sum() for g, name in zip(grads, params))
    *product, tokens = torch.autograd.grad(along, leaves + [weights])
    return {"hvp": product, "tangents": [tokens * size]}


def save(results):
    for name, values in results.items():
        to = f"{results_folder}/{name}.f32"
        if not os.path.exists(to):
            flat(name, values).astype(np.float32).tofile(to)


def flat(name, values):
    """Trees in the padded layout of config["slots"], the token tangents as they are."""
    if name == "tangents":
        return values[0].detach().numpy().ravel()
    last = config["slots"][-1]
    out = np.zeros(-(-(last["offset"] + last["size"]) // 16) * 16)
    for slot, value in zip(config["slots"], values):
        out[slot["offset"] : slot["offset"] + slot["size"]] = value.detach().numpy().ravel()
    return out


work = {"gradient": gradient, "hvp": hvp}
for line in sys.stdin:
    command = line.strip()
    answer = {}
    if command == "memory":
        answer = {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    elif command in work:
        start, used = time.perf_counter(), time.process_time()
        results = work[command]()
        answer = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
        save(results)
    print(json.dumps(answer), flush=True)
