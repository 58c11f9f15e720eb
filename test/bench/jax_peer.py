"""A contestant of the benchmark: JAX on the same model and batch, compiled, driven line by line by bench.mjs.

usage: jax_peer.py FOLDER RESULTS cpu|gpu; then `gradient`, `hvp`, `jvp` or `memory` on stdin, each answered by a line of JSON; other
commands are answered {}. `hvp` and `jvp` are the same: forward over reverse. Results: see torch_peer.py.
"""
import json
import os
import resource
import sys
import time

folder, results_folder, device = sys.argv[1:]
os.environ["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda"

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_default_matmul_precision", "highest")  # float32, as everywhere here
problem = json.load(open(f"{folder}/config.json"))
config, size, length, slots = problem["config"], problem["size"], problem["length"], problem["slots"]
width, heads = config["n_embd"], config["n_head"]


def tensors(name):
    flat = np.memmap(f"{folder}/{name}.f32", dtype=np.float32, mode="r")
    return {s["name"]: jnp.array(flat[s["offset"] : s["offset"] + s["size"]].reshape(s["shape"])) for s in slots}


params, tangent = tensors("params"), tensors("tangent")
ids = jnp.array(np.fromfile(f"{folder}/ids.i32", dtype=np.int32).reshape(-1, length + 1)[:size])
ones = jnp.ones((size, length))
causal = jnp.triu(jnp.full((length, length), -1e9), 1)


def attention(q, k, v):
    """[size, length, heads, head width] each."""
    p = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5 + causal, -1)
    return jnp.einsum("bhqk,bkhd->bqhd", p, v).reshape(size * length, -1)


def gpt2(p):
    def affine(x, name):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def norm(x, name):
        y = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + config["layer_norm_epsilon"])
        return y * p[f"{name}.weight"] + p[f"{name}.bias"]

    h = (p["transformer.wte.weight"][ids[:, :-1]] + p["transformer.wpe.weight"][:length]).reshape(-1, width)
    for i in range(config["n_layer"]):
        block = f"transformer.h.{i}"
        qkv = affine(norm(h, f"{block}.ln_1"), f"{block}.attn.c_attn").reshape(size, length, 3, heads, -1)
        h = h + affine(attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]), f"{block}.attn.c_proj")
        h = h + affine(jax.nn.gelu(affine(norm(h, f"{block}.ln_2"), f"{block}.mlp.c_fc")), f"{block}.mlp.c_proj")
    return norm(h, "transformer.ln_f") @ p["lm_head.weight"].T


def rotated(x):
    head = x.shape[-1]
    angles = jnp.outer(jnp.arange(length), config["rope_theta"] ** (-jnp.arange(0, head, 2) / head))[None, :, None]
    first, second = jnp.split(x, 2, -1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def llama(p):
    def norm(x, name):
        return p[f"{name}.weight"] * x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"])

    h = p["model.embed_tokens.weight"][ids[:, :-1]].reshape(-1, width)
    for i in range(config["n_layer"]):
        linear = lambda x, name: x @ p[f"model.layers.{i}.{name}.weight"].T
        x = norm(h, f"model.layers.{i}.input_layernorm")
        q, k, v = (linear(x, f"self_attn.{name}_proj").reshape(size, length, -1, config["head_dim"]) for name in "qkv")
        k, v = (jnp.repeat(t, heads // config["num_key_value_heads"], 2) for t in (rotated(k), v))
        h = h + linear(attention(rotated(q), k, v), "self_attn.o_proj")
        x = norm(h, f"model.layers.{i}.post_attention_layernorm")
        h = h + linear(jax.nn.silu(linear(x, "mlp.gate_proj")) * linear(x, "mlp.up_proj"), "mlp.down_proj")
    return norm(h, "model.norm") @ p["lm_head.weight"].T


logits = {"gpt2": gpt2, "llama": llama}[config["model_type"]]


def loss(p, weights):
    """(1/B) sum_it w_it CE_it / S."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits(p)), ids[:, 1:].reshape(-1, 1), -1).reshape(size, length)
    return -(chosen * weights).sum() / (size * length)


gradient = jax.jit(jax.grad(loss))
product = jax.jit(lambda p, v: jax.jvp(lambda q: jax.grad(loss, argnums=(0, 1))(q, ones), (p,), (v,))[1])


def hvp():
    tree, tokens = product(params, tangent)
    return {"hvp": tree, "tangents": tokens * size}


def save(results):
    for name, values in results.items():
        to = f"{results_folder}/{name}.f32"
        if not os.path.exists(to):
            (np.array(values).ravel() if name == "tangents" else some_of(values)).astype(np.float32).tofile(to)


def some_of(tree):
    """Every stride-th number of a tree, in the layout's order."""
    stride, last = problem["stride"], slots[-1]
    out = np.zeros((last["offset"] + last["size"] - 1) // stride + 1, np.float32)
    for slot in slots:
        first = -(-slot["offset"] // stride)
        chosen = np.array(tree[slot["name"]]).ravel()[first * stride - slot["offset"] :: stride]
        out[first : first + len(chosen)] = chosen
    return out


work = {"gradient": lambda: {"gradient": gradient(params, ones)}, "hvp": hvp, "jvp": hvp}
for line in sys.stdin:
    command = line.strip()
    answer = {}
    if command == "memory":
        answer = {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        if device == "gpu":
            answer["gpu"] = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    elif command in work:
        start, used = time.perf_counter(), time.process_time()
        results = jax.block_until_ready(work[command]())
        answer = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
        save(results)
    print(json.dumps(answer), flush=True)
