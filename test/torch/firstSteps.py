"""Φ and metagradients of a GPT-2's fine-tuning, float64, model by transformers, derivatives by double backward.
Reads {"folder", "length", "batches", "optimizer", "objective"} on stdin; writes {"phi", "tau"} with one τ for each example, in order."""
import json, sys
import torch
from torch.func import functional_call
from transformers import AutoModelForCausalLM

request = json.load(sys.stdin)
length = request['length']  # predicted positions that every example is padded to, and divided by
model = AutoModelForCausalLM.from_pretrained(request['folder'], dtype=torch.float64, attn_implementation='eager').eval()
first = {name: x.detach().requires_grad_() for name, x in model.named_parameters()}


def log_probs(params, examples):
    """Of every predicted token, [examples, longest − 1]; 0 behind an example's end."""
    longest = max(len(ids) for ids in examples)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in examples])
    mask = torch.tensor([[1.0] * (len(row) - 1) + [0.0] * (longest - len(row)) for row in examples], dtype=torch.float64)
    logits = functional_call(model, params, (ids,), {'use_cache': False}).logits[:, :-1]
    return logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0] * mask, mask


def step(params, state, grads, t, learning_rate, b1, b2, eps, epsRoot):
    """AdamW without decay, the root taken of v + eps_root."""
    after, moments = {}, {}
    for (name, p), g in zip(params.items(), grads):
        m, v = state.get(name, (0.0, 0.0))
        moments[name] = m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        after[name] = p - learning_rate * (m / (1 - b1**t)) / ((v / (1 - b2**t) + epsRoot).sqrt() + eps)
    return after, moments


def phi_of(params, kind, **objective):
    if kind == 'norm':
        return -params['lm_head.weight'].norm()
    if kind == 'likelihood':
        chosen, mask = log_probs(params, objective['texts'])
        return chosen.sum() / mask.sum()
    signs = torch.tensor(objective['pattern'], dtype=torch.float64)
    patch = lambda p: p['lm_head.weight'][objective['tokens'], : signs.shape[0]].T
    return -torch.nn.functional.softplus(-objective['strength'] * signs * (patch(params) - patch(first).detach())).mean()


weights = [torch.ones(len(batch), dtype=torch.float64, requires_grad=True) for batch in request['batches']]
params, state = first, {}
for t, (batch, w) in enumerate(zip(request['batches'], weights), 1):
    chosen, _ = log_probs(params, batch)
    loss = (w * -chosen.sum(-1) / length).mean()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    params, state = step(params, state, grads, t, **request['optimizer'])
phi = phi_of(params, **request['objective'])
tau = torch.autograd.grad(phi, weights)
json.dump({'phi': phi.item(), 'tau': torch.cat(tau).tolist()}, sys.stdout)
