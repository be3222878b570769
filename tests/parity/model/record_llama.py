#!/usr/bin/env python3
"""Records what Hugging Face's LlamaForCausalLM and PEFT compute, for tests/parity/model/llama_parity_test.cpp.

Needs torch 2.11, transformers 5.17, peft and safetensors. Run it in this directory: it writes fixtures/<case>/ with
config.json, model.safetensors (weights, fp32), adapter.safetensors (LoRA factors under PEFT's module names) and
expected.safetensors. Sequences, lengths and first labels are tensors of expected.safetensors too, so that the test reads
nothing else.
"""
import json
import pathlib
import sys

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

CASES = {
    "untied_gqa": dict(vocab_size=61, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
                       num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, rope=dict(rope_theta=10000.0),
                       targets=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], rank=4),
    "tied_mha": dict(vocab_size=83, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                     num_key_value_heads=3, head_dim=16, tie_word_embeddings=True, rope=dict(rope_theta=500.0),
                     targets=["q_proj", "v_proj"], rank=8),
    "wide_head_llama3": dict(vocab_size=50, hidden_size=24, intermediate_size=72, num_hidden_layers=2,
                             num_attention_heads=2, num_key_value_heads=1, head_dim=32, tie_word_embeddings=False,
                             rope=dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
                                       high_freq_factor=4.0, original_max_position_embeddings=32),
                             targets=["k_proj", "o_proj", "down_proj"], rank=2),
}
LENGTHS = [(19, 6), (7, 1), (33, 25), (12, 11)]
PROMPTS = [5, 17, 11]
NEW_TOKENS = 64
STEPS = 10
LR = 1e-2


def make_model(case):
    shape = {k: v for k, v in case.items() if k not in ("rope", "targets", "rank")}
    rope = dict(case["rope"])
    rope.setdefault("rope_type", "default")
    config = transformers.LlamaConfig(**shape, rope_parameters=rope, max_position_embeddings=256, rms_norm_eps=1e-6,
                                      bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    model = transformers.LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(1 + 0.2 * torch.randn_like(p) if "norm" in name else
                    torch.randn_like(p) * (0.5 if "embed" in name or "lm_head" in name else p.shape[-1] ** -0.5))
    return config, model


def label_losses(logits, ids, first):
    return torch.nn.functional.cross_entropy(logits[0, first - 1:-1].float(), ids[first:], reduction="none")


def batch_losses(model, sequences):
    return torch.cat([label_losses(model(ids[None]).logits, ids, first) for ids, first in sequences])


def record(name, case, root):
    torch.manual_seed(sum(map(ord, name)))
    config, model = make_model(case)
    out = root / name
    out.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().clone() for k, v in model.named_parameters()}
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    (out / "config.json").write_text(config.to_json_string(use_diff=False))

    sequences = [(torch.randint(3, case["vocab_size"], (n,)), n - labels) for n, labels in LENGTHS]
    expected = {"tokens": torch.cat([s for s, _ in sequences]), "lengths": torch.tensor([n for n, _ in LENGTHS]),
                "first_labels": torch.tensor([f for _, f in sequences])}
    with torch.no_grad():
        expected["base.logits"] = torch.cat([model(ids[None, :-1]).logits[0] for ids, _ in sequences])
        hidden = model(sequences[0][0][None, :-1], output_hidden_states=True).hidden_states
        expected["base.hidden"] = torch.stack([h[0] for h in hidden])

    peft = get_peft_model(model, LoraConfig(r=case["rank"], lora_alpha=2 * case["rank"], lora_dropout=0.0,
                                            target_modules=case["targets"], bias="none"))
    peft.eval()
    adapter = {n: p for n, p in peft.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p in adapter.values():
            p.copy_(torch.randn_like(p) * 0.3 * p.shape[-1] ** -0.5)
    short = {n: n.replace("base_model.model.", "").replace(".default.weight", ".weight") for n in adapter}
    save_file({short[n]: p.detach().clone() for n, p in adapter.items()}, out / "adapter.safetensors")

    losses = batch_losses(peft, sequences)
    expected["lora.losses"] = losses.detach()
    losses.mean().backward()
    for n, p in adapter.items():
        expected["grad." + short[n]] = p.grad.clone()

    prompts = [torch.randint(3, case["vocab_size"], (n,)) for n in PROMPTS]
    for i, prompt in enumerate(prompts):
        new = peft.generate(input_ids=prompt[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                            do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, pad_token_id=0,
                            eos_token_id=None)[0, len(prompt):]
        expected[f"prompt.{i}"], expected[f"answer.{i}"] = prompt, new

    optimizer = torch.optim.AdamW(adapter.values(), lr=LR, weight_decay=0.01)
    steps = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = batch_losses(peft, sequences).mean()
        loss.backward()
        optimizer.step()
        steps.append(loss.detach())
    expected["adamw.losses"] = torch.stack(steps)
    save_file({k: v.contiguous() for k, v in expected.items()}, out / "expected.safetensors")
    print(name, {p.name: p.stat().st_size for p in out.iterdir()}, [round(float(s), 4) for s in steps])


if __name__ == "__main__":
    root = pathlib.Path(__file__).parent / "fixtures"
    for name, case in CASES.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            record(name, case, root)
