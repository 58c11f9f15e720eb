"""Log-probabilities of a Llama 3.2 folder in PyTorch, float64, from the published description: reads {"folder", "ids"} on stdin."""
import json, math, os, struct, sys
import torch

request = json.load(sys.stdin)
folder, ids = request['folder'], torch.tensor(request['ids'])
config = json.load(open(os.path.join(folder, 'config.json')))


def read(file):
    content = open(file, 'rb').read()
    (length,) = struct.unpack('<Q', content[:8])
    for name, info in json.loads(content[8:8 + length]).items():
        if name != '__metadata__':
            assert info['dtype'] == 'BF16', info
            begin, end = info['data_offsets']
            data = bytearray(content[8 + length + begin:8 + length + end])
            yield name, torch.frombuffer(data, dtype=torch.bfloat16).reshape(info['shape']).double()


index = json.load(open(os.path.join(folder, 'model.safetensors.index.json')))
p = {name: x for file in set(index['weight_map'].values()) for name, x in read(os.path.join(folder, file))}
heads, key_heads, width = config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']


def frequencies():
    scaling = config['rope_scaling']
    context, low, high = (scaling[key] for key in ('original_max_position_embeddings', 'low_freq_factor', 'high_freq_factor'))
    plain = config['rope_theta'] ** (-torch.arange(0, width, 2).double() / width)
    turns = context * plain / (2 * math.pi)  # of a pair within the original context
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * (smooth + (1 - smooth) / scaling['factor'])


def norm(x, name):
    return p[name] * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config['rms_norm_eps'])


def rotate(x):
    angles = torch.outer(torch.arange(x.shape[-2]).double(), frequencies())
    first, second = x.chunk(2, -1)
    return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)


def attention(x, block):
    size, length, _ = x.shape
    q, k, v = (
        (x @ p[f'{block}.{name}_proj.weight'].T).view(size, length, count, width).transpose(1, 2)
        for name, count in (('q', heads), ('k', key_heads), ('v', key_heads))
    )
    k, v = (y.repeat_interleave(heads // key_heads, 1) for y in (rotate(k), v))
    scores = rotate(q) @ k.transpose(2, 3) / math.sqrt(width) + torch.full((length, length), -math.inf).double().triu(1)
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(size, length, -1) @ p[f'{block}.o_proj.weight'].T


x = p['model.embed_tokens.weight'][ids[:, :-1]]
for i in range(config['num_hidden_layers']):
    layer = f'model.layers.{i}'
    x = x + attention(norm(x, f'{layer}.input_layernorm.weight'), f'{layer}.self_attn')
    h = norm(x, f'{layer}.post_attention_layernorm.weight')
    gate, up = (h @ p[f'{layer}.mlp.{name}_proj.weight'].T for name in ('gate', 'up'))
    x = x + (torch.nn.functional.silu(gate) * up) @ p[f'{layer}.mlp.down_proj.weight'].T
logits = norm(x, 'model.norm.weight') @ p['model.embed_tokens.weight'].T
chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
json.dump(chosen.flatten().tolist(), sys.stdout)
