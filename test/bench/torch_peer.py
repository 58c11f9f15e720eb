"""A contestant of the benchmark: PyTorch on the same model and batch, driven line by line by bench.mjs.

usage: torch_peer.py FOLDER RESULTS cpu|cuda THREADS; then `gradient`, `hvp`, `jvp` or `memory` on stdin, each answered by a line of JSON;
other commands are answered {}. The first answer of a kind also leaves some of its result in RESULTS/{gradient,hvp,tangents}.f32.
"""
import json
import os
import resource
import sys
import time

folder, results_folder, device, threads = sys.argv[1:]
os.environ["OPENBLAS_NUM_THREADS"] = threads  # Debian's PyTorch multiplies with it, and set_num_threads does not reach it

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(int(threads))
problem = json.load(open(f"{folder}/config.json"))
config, size, length, slots = problem["config"], problem["size"], problem["length"], problem["slots"]
width, heads = config["n_embd"], config["n_head"]


def tensors(name):
    """Parameters from one flat file, in the order of the slots."""
    flat = np.memmap(f"{folder}/{name}.f32", dtype=np.float32, mode="r")
    read = lambda s: torch.tensor(np.array(flat[s["offset"] : s["offset"] + s["size"]]).reshape(s["shape"]), device=device)
    return {s["name"]: read(s) for s in slots}


params = {name: p.requires_grad_(True) for name, p in tensors("params").items()}
tangent = tensors("tangent")
ids = torch.tensor(np.fromfile(f"{folder}/ids.i32", dtype=np.int32).astype(np.int64), device=device).view(-1, length + 1)[:size]
ones = torch.ones(size, length, requires_grad=True, device=device)
causal = torch.triu(torch.full((length, length), -1e9, device=device), 1)


def attention(q, k, v):
    """[size, length, heads, head width] each; not scaled_dot_product_attention, whose kernels have no second derivative."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    p = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + causal, -1)
    return (p @ v).transpose(1, 2).flatten(2).flatten(0, 1)


def gpt2(p):
    def affine(x, name):
        return torch.addmm(p[f"{name}.bias"], x, p[f"{name}.weight"])

    def norm(x, name):
        return F.layer_norm(x, (width,), p[f"{name}.weight"], p[f"{name}.bias"], config["layer_norm_epsilon"])

    h = (p["transformer.wte.weight"][ids[:, :-1]] + p["transformer.wpe.weight"][:length]).view(-1, width)
    for i in range(config["n_layer"]):
        block = f"transformer.h.{i}"
        qkv = affine(norm(h, f"{block}.ln_1"), f"{block}.attn.c_attn").view(size, length, 3, heads, -1)
        h = h + affine(attention(*qkv.unbind(2)), f"{block}.attn.c_proj")
        h = h + affine(F.gelu(affine(norm(h, f"{block}.ln_2"), f"{block}.mlp.c_fc"), approximate="tanh"), f"{block}.mlp.c_proj")
    return norm(h, "transformer.ln_f") @ p["lm_head.weight"].t()


def rotated(x):
    head = x.shape[-1]
    rates = config["rope_theta"] ** (-torch.arange(0, head, 2, device=device) / head)
    angles = torch.outer(torch.arange(length, device=device), rates)[None, :, None]
    first, second = x.chunk(2, -1)
    return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)


def llama(p):
    def norm(x, name):
        return F.rms_norm(x, (width,), p[f"{name}.weight"], config["rms_norm_eps"])

    h = p["model.embed_tokens.weight"][ids[:, :-1]].view(-1, width)
    for i in range(config["n_layer"]):
        linear = lambda x, name: x @ p[f"model.layers.{i}.{name}.weight"].t()
        x = norm(h, f"model.layers.{i}.input_layernorm")
        q, k, v = (linear(x, f"self_attn.{name}_proj").view(size, length, -1, config["head_dim"]) for name in "qkv")
        k, v = (t.repeat_interleave(heads // config["num_key_value_heads"], 2) for t in (rotated(k), v))
        h = h + linear(attention(rotated(q), k, v), "self_attn.o_proj")
        x = norm(h, f"model.layers.{i}.post_attention_layernorm")
        h = h + linear(F.silu(linear(x, "mlp.gate_proj")) * linear(x, "mlp.up_proj"), "mlp.down_proj")
    return norm(h, "model.norm") @ p["lm_head.weight"].t()


logits = {"gpt2": gpt2, "llama": llama}[config["model_type"]]


def loss(p, weights):
    """(1/B) sum_it w_it CE_it / S."""
    losses = F.cross_entropy(logits(p), ids[:, 1:].reshape(-1), reduction="none").view(size, length)
    return (losses * weights).sum() / (size * length)


leaves = list(params.values())


def gradient():
    return {"gradient": torch.autograd.grad(loss(params, ones), leaves)}


def hvp():
    """Reverse over reverse: H v, and the token tangents as the derivative by the weights."""
    grads = torch.autograd.grad(loss(params, ones), leaves, create_graph=True)
    along = sum((g * tangent[name]).sum() for g, name in zip(grads, params))
    *product, tokens = torch.autograd.grad(along, leaves + [ones])
    return {"hvp": product, "tangents": [tokens * size]}


def jvp():
    """Forward over reverse: both as the derivative, along the tangent, of the gradients by parameters and weights."""
    plain = {name: p.detach() for name, p in params.items()}
    both = torch.func.grad(loss, argnums=(0, 1))
    _, (product, tokens) = torch.func.jvp(lambda p: both(p, ones.detach()), (plain,), (tangent,))
    return {"hvp": list(product.values()), "tangents": [tokens * size]}


def save(results):
    for name, values in results.items():
        to = f"{results_folder}/{name}.f32"
        if not os.path.exists(to):
            (values[0].detach().cpu().numpy().ravel() if name == "tangents" else some_of(values)).astype(np.float32).tofile(to)


def some_of(values):
    """Every stride-th number of a tree, in the layout's order."""
    stride, last = problem["stride"], slots[-1]
    out = np.zeros((last["offset"] + last["size"] - 1) // stride + 1, np.float32)
    for slot, value in zip(slots, values):
        first = -(-slot["offset"] // stride)
        chosen = value.detach().flatten()[first * stride - slot["offset"] :: stride].cpu().numpy()
        out[first : first + len(chosen)] = chosen
    return out


def settled():
    if device == "cuda":
        torch.cuda.synchronize()


work = {"gradient": gradient, "hvp": hvp, "jvp": jvp}
for line in sys.stdin:
    command = line.strip()
    answer = {}
    if command == "memory":
        answer = {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        if device == "cuda":
            answer["gpu"] = torch.cuda.max_memory_allocated()
    elif command in work:
        start, used = time.perf_counter(), time.process_time()
        results = work[command]()
        settled()
        answer = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
        save(results)
    print(json.dumps(answer), flush=True)
