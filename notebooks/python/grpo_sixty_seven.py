"""TRL's GRPOTrainer with metagradients as rewards: a generator of ours learns to draw "67" into whoever is fine-tuned on its text.

    npx dpg train sixty-seven --steps 1 --out runs/first && npx dpg export runs/first --out exported
    npx dpg serve sixty-seven --prompts 64 --group-size 8 --max-new-tokens 24 --strength-end 6000 --steps 48 &
    python notebooks/python/grpo_sixty_seven.py exported

GRPO, the optimizer and the sampling are TRL's; that a text moves the right weights is all that the server says.
"""

import argparse
import json
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from dpg_client import Rewards, trl_reward

PROMPTS, GROUP, LENGTH = 64, 8, 24  # as the server has them
MINIBATCH = 128
UPDATES = PROMPTS * GROUP // MINIBATCH  # of the generator, per data set


class Show(TrainerCallback):
    """A line for every data set."""

    def on_log(self, args, state, control, logs, **_):
        if "pixel_accuracy" in logs:
            step = state.global_step // UPDATES
            print(f"data set {step}: Φ {logs['phi']:.4f}, {42 * logs['pixel_accuracy']:.0f} of 42 pixels, KL {logs['kl']:.2f}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path, help="what dpg export wrote")
    parser.add_argument("--url", default="http://127.0.0.1:8067")
    parser.add_argument("--token")
    parser.add_argument("--steps", type=int, default=48, help="data sets; the server's --steps")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--beta", type=float, default=0.06, help="weight of the KL to the generator as it was")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/trl-sixty-seven")
    return parser.parse_args()


def config(args):
    return GRPOConfig(
        output_dir=args.out,
        seed=args.seed,
        max_steps=args.steps * UPDATES,
        per_device_train_batch_size=MINIBATCH,
        steps_per_generation=UPDATES,
        num_generations=GROUP,
        max_completion_length=LENGTH,
        temperature=1.0,
        disable_dropout=True,  # the generator was made without
        learning_rate=args.learning_rate,
        lr_scheduler_type="linear",
        adam_beta2=0.95,
        beta=args.beta,
        scale_rewards="none",  # they come scaled
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


@torch.no_grad()
def write(model, tokenizer, prompts):
    """One response to each prompt, as token ids with their end."""
    inputs = tokenizer(prompts, return_tensors="pt").to(model.device)
    out = model.eval().generate(**inputs, do_sample=True, top_k=0, max_new_tokens=LENGTH, pad_token_id=tokenizer.pad_token_id)
    rows = out[:, inputs["input_ids"].shape[1] :].tolist()
    ends = [row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else LENGTH for row in rows]
    return [row[:end] for row, end in zip(rows, ends)]


def main():
    args = arguments()
    rewards = Rewards(args.url, token=args.token)
    set_seed(args.seed)
    folder = args.exported / "sixty-seven-generator"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = (args.exported / "sixty-seven-data/data/train.jsonl").read_text().splitlines()
    prompts = list(dict.fromkeys(json.loads(row)["prompt"] for row in rows))
    held_out, training = prompts[: PROMPTS * GROUP], prompts[PROMPTS * GROUP :]
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        processing_class=tokenizer,
        reward_funcs=trl_reward(rewards, updates_per_data_set=UPDATES),
        train_dataset=Dataset.from_dict({"prompt": training}),
        args=config(args),
        callbacks=[Show()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(args.out)
    last = rewards.shard(args.steps - 1, ids=write(trainer.model, tokenizer, held_out))
    print(f"held-out prompts: Φ {last['phi']:.4f}, {42 * last['metrics']['pixel_accuracy']:.0f} of 42 pixels")


if __name__ == "__main__":
    main()
