"""Makes small random models with transformers and records what they compute: logits, greedy answers, LoRA gradients and
the losses of ten optimiser steps (PEFT, torch AdamW).

    python record.py fixtures            # the fixtures that are in the repository
    python record.py DIR --random 30 --seed 7    # fresh random configurations

Each model is a directory: config.json and model.safetensors as transformers saves them, adapter/ as PEFT saves it,
expected.safetensors with what was computed in fp32, one sequence at a time, without padding.
"""
import argparse
import pathlib
import random
import shutil

import torch
import transformers
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

NEW_TOKENS = 64
STEPS = 10
LEARNING_RATE = 1e-3


def shape(family, **fields):
    return {"model_type": family, **fields}


def llama3_rope(theta, factor, original):
    return {"rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": original}


COMMITTED = {
    "llama_plain": shape("llama", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=4),
    "llama_grouped": shape("llama", vocab_size=83, hidden_size=42, intermediate_size=56, num_hidden_layers=2,
                           num_attention_heads=6, num_key_value_heads=2, head_dim=10, tie_word_embeddings=True,
                           rms_norm_eps=1e-5, rope_parameters=llama3_rope(500000.0, 8.0, 16)),
    "llama_biased": shape("llama", vocab_size=71, hidden_size=24, intermediate_size=36, num_hidden_layers=3,
                          num_attention_heads=3, num_key_value_heads=1, head_dim=14, attention_bias=True,
                          mlp_bias=True, hidden_act="gelu_pytorch_tanh",
                          rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}),
    "mistral_full": shape("mistral", vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                          num_attention_heads=4, num_key_value_heads=2, sliding_window=None),
    "mistral_window": shape("mistral", vocab_size=64, hidden_size=36, intermediate_size=44, num_hidden_layers=3,
                            num_attention_heads=3, num_key_value_heads=1, sliding_window=7),
    "mistral_wide": shape("mistral", vocab_size=89, hidden_size=24, intermediate_size=64, num_hidden_layers=2,
                          num_attention_heads=4, num_key_value_heads=4, head_dim=16, sliding_window=16,
                          tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 100.0}),
    "qwen2_tied": shape("qwen2", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2_untied": shape("qwen2", vocab_size=61, hidden_size=48, intermediate_size=40, num_hidden_layers=2,
                          num_attention_heads=6, num_key_value_heads=3, rms_norm_eps=1e-5,
                          rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "qwen2_window": shape("qwen2", vocab_size=79, hidden_size=24, intermediate_size=52, num_hidden_layers=3,
                          num_attention_heads=4, num_key_value_heads=1, use_sliding_window=True, sliding_window=5,
                          max_window_layers=0),
    "qwen3_tied": shape("qwen3", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                        num_attention_heads=4, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True),
    "qwen3_untied": shape("qwen3", vocab_size=67, hidden_size=40, intermediate_size=44, num_hidden_layers=2,
                          num_attention_heads=2, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-5),
    "qwen3_biased": shape("qwen3", vocab_size=73, hidden_size=24, intermediate_size=36, num_hidden_layers=3,
                          num_attention_heads=6, num_key_value_heads=2, head_dim=6, attention_bias=True),
    "t5_v10": shape("t5", vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4),
    "t5_v11": shape("t5", vocab_size=83, d_model=28, d_kv=12, d_ff=36, num_layers=2, num_decoder_layers=3, num_heads=3,
                    feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "t5_odd": shape("t5", vocab_size=71, d_model=30, d_kv=7, d_ff=44, num_layers=3, num_decoder_layers=1, num_heads=5,
                    feed_forward_proj="gated-silu", relative_attention_num_buckets=10,
                    relative_attention_max_distance=20, layer_norm_epsilon=1e-5),
    "t5_small_buckets": shape("t5", vocab_size=64, d_model=24, d_kv=16, d_ff=40, num_layers=1, num_decoder_layers=2,
                              num_heads=2, feed_forward_proj="gelu", tie_word_embeddings=False,
                              relative_attention_num_buckets=6, relative_attention_max_distance=9),
}


def random_shape(rng):
    family = rng.choice(["llama", "mistral", "qwen2", "qwen3", "t5", "t5"])
    vocabulary = rng.randint(40, 300)
    if family == "t5":
        buckets = rng.choice([4, 6, 8, 9, 16, 32, 33])
        return shape("t5", vocab_size=vocabulary, d_model=rng.randint(5, 70), d_kv=rng.randint(3, 40),
                     d_ff=rng.randint(7, 99), num_layers=rng.randint(1, 4), num_decoder_layers=rng.randint(1, 4),
                     num_heads=rng.randint(1, 6), relative_attention_num_buckets=buckets,
                     relative_attention_max_distance=rng.randint(buckets // 2 + 1, 150),
                     feed_forward_proj=rng.choice(["relu", "gated-gelu", "gated-silu", "gelu", "gelu_new", "gated-relu"]),
                     tie_word_embeddings=rng.random() < 0.5, layer_norm_epsilon=rng.choice([1e-6, 1e-5]))
    groups, ratio = rng.randint(1, 4), rng.randint(1, 4)
    heads = groups * ratio
    fields = dict(vocab_size=vocabulary, hidden_size=heads * rng.randint(1, 8) * 2,
                  intermediate_size=rng.randint(5, 120), num_hidden_layers=rng.randint(1, 4),
                  num_attention_heads=heads, num_key_value_heads=groups, tie_word_embeddings=rng.random() < 0.5,
                  rms_norm_eps=rng.choice([1e-6, 1e-5, 1e-3]), hidden_act=rng.choice(["silu", "silu", "gelu", "relu"]))
    theta = rng.choice([100.0, 10000.0, 1e6])
    fields["rope_parameters"] = rng.choice([
        {"rope_type": "default", "rope_theta": theta},
        {"rope_type": "linear", "rope_theta": theta, "factor": rng.choice([2.0, 3.5])},
        llama3_rope(theta, rng.choice([2.0, 8.0]), rng.choice([8, 32, 8192]))])
    if family != "qwen2" and rng.random() < 0.6 or family == "qwen3":
        fields["head_dim"] = 2 * rng.randint(2, 20)
    if family in ("llama", "qwen3"):
        fields["attention_bias"] = rng.random() < 0.3
    if family == "llama":
        fields["mlp_bias"] = rng.random() < 0.3
    if family == "mistral":
        fields["sliding_window"] = rng.choice([None, 1, 6, 30, 4096])
    if family.startswith("qwen") and rng.random() < 0.4:
        fields.update(use_sliding_window=True, sliding_window=rng.randint(1, 30), max_window_layers=0)
    return shape(family, **fields)


def fill(model, family):
    """Weights that make every part count: variances that keep activations near one, norms and biases away from 1 and 0."""
    config = model.config
    for name, parameter in model.named_parameters():
        if "norm" in name:
            value = 1 + 0.2 * torch.randn_like(parameter)
        elif name.endswith(".bias"):
            value = 0.3 * torch.randn_like(parameter)
        elif "relative_attention_bias" in name:
            value = 0.5 * torch.randn_like(parameter)
        elif "embed" in name or "shared" in name:
            value = torch.randn_like(parameter)
        else:
            value = torch.randn_like(parameter) * parameter.shape[1] ** -0.5
            if family == "t5" and name.endswith("Attention.q.weight"):
                value = value * config.d_kv ** -0.5
        # Files hold bf16: the recorded results are those of the rounded weights.
        parameter.data.copy_(value.to(torch.bfloat16).float())


def sequences(vocabulary, seq2seq):
    lengths = [(13, 9), (5, 1), (29, 14), (1, 6)]
    made = []
    for prompt, answer in lengths:
        made.append((torch.randint(3, vocabulary, (prompt,)), torch.randint(3, vocabulary, (answer,))))
    return made


def label_logits(model, pair, seq2seq):
    prompt, answer = pair
    if seq2seq:
        return model(input_ids=prompt[None], labels=answer[None]).logits[0]
    ids = torch.cat([prompt, answer])[:-1]
    return model(input_ids=ids[None]).logits[0, len(prompt) - 1:]


def mean_loss(model, pairs, seq2seq):
    losses = [torch.nn.functional.cross_entropy(label_logits(model, pair, seq2seq), pair[1], reduction="none")
              for pair in pairs]
    return torch.cat(losses).mean()


def greedy(model, prompt, seq2seq):
    # transformers sizes the cache by the encoder's layers; a deeper decoder generates without one.
    use_cache = not seq2seq or model.config.num_decoder_layers <= model.config.num_layers
    out = model.generate(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None], do_sample=False,
                         num_beams=1, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, eos_token_id=None,
                         pad_token_id=0, use_cache=use_cache)[0]
    return out[1:] if seq2seq else out[len(prompt):]


def other_generations(model, pairs, greedy_answers, seq2seq):
    """Repetition penalty, and beams with an end token that the model does produce."""
    use_cache = not seq2seq or model.config.num_decoder_layers <= model.config.num_layers
    end = int(greedy_answers[0][12])

    def answer(prompt, **options):
        out = model.generate(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None], do_sample=False,
                             max_new_tokens=24, pad_token_id=0, use_cache=use_cache, **options)[0]
        return out[1:] if seq2seq else out[len(prompt):]

    kinds = {"penalised": dict(num_beams=1, repetition_penalty=1.4, eos_token_id=None),
             "beams": dict(num_beams=3, length_penalty=0.7, repetition_penalty=1.2, eos_token_id=end),
             "early_beams": dict(num_beams=2, early_stopping=True, eos_token_id=end)}
    made = {"end": torch.tensor([end], dtype=torch.int32)}
    for kind, options in kinds.items():
        answers = [answer(prompt, **options) for prompt, _ in pairs]
        made[kind] = torch.cat(answers).int()
        made[kind + "_lengths"] = torch.tensor([len(a) for a in answers], dtype=torch.int32)
    return made


def adapter_name(name):
    """PEFT's name of a parameter in its files."""
    return name.replace(".default", "")


def lora_settings(model, seq2seq, rng):
    """The committed fixtures' adapter, or with rng one of PEFT's other ways to say what is adapted and how strongly."""
    targets = ["q", "v", "wi", "wi_0", "wo", "o"] if seq2seq else ["q_proj", "v_proj", "k_proj", "o_proj", "down_proj"]
    present = {name.split(".")[-1] for name, _ in model.named_modules()}
    targets = [t for t in targets if t in present]
    settings = dict(r=3, lora_alpha=6, lora_dropout=0.0, target_modules=targets)
    if rng is None:
        return settings
    settings["r"] = rng.randint(1, 9)
    settings["use_rslora"] = rng.random() < 0.5
    settings["target_modules"] = rng.choice(
        ["all-linear", targets[:2], r".*decoder.*\.(q|wo)" if seq2seq else r".*\.0\..*\.(q_proj|down_proj)", targets])
    if rng.random() < 0.5:
        settings["rank_pattern"] = {targets[0]: 5}
        settings["alpha_pattern"] = {targets[0]: 3, targets[1]: 11}
    return settings


def record_double(model, trained, pairs, seq2seq):
    """Gradients in fp64 throughout: transformers' norms compute in fp32, which is undone here."""
    originals = {}
    for module in model.modules():
        if type(module).__name__.endswith(("RMSNorm", "LayerNorm")):
            kind = type(module)
            originals.setdefault(kind, kind.forward)
            kind.forward = lambda self, x: self.weight * x * torch.rsqrt(
                x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    model.double()
    mean_loss(model, pairs, seq2seq).backward()
    made = {"gradient64/" + adapter_name(name): p.grad.clone() for name, p in trained}
    for kind, forward in originals.items():
        kind.forward = forward
    for _, p in trained:
        p.grad = None
    model.float()
    return made


def record_prompt(directory, auto, config, state, pairs, seq2seq):
    """Prompt tuning: five soft tokens."""
    model = auto.from_config(config).float().eval()
    model.load_state_dict(state)
    kind = TaskType.SEQ_2_SEQ_LM if seq2seq else TaskType.CAUSAL_LM
    tuned = get_peft_model(model, PromptTuningConfig(task_type=kind, num_virtual_tokens=5)).eval()
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    tuned.save_pretrained(directory / "prompt")
    with torch.no_grad():
        rows = []
        for prompt, answer in pairs:
            if seq2seq:
                rows.append(tuned(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None],
                                  labels=answer[None]).logits[0])
            else:
                ids = torch.cat([prompt, answer])[:-1]
                rows.append(tuned(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None]).logits[0, len(prompt) + 4:])
        return {"prompt_logits": torch.cat(rows)}


def record(directory, fields, seed, rng=None):
    dtype = torch.bfloat16
    torch.manual_seed(seed)
    fields = dict(fields)
    family = fields.pop("model_type")
    seq2seq = family == "t5"
    config = transformers.AutoConfig.for_model(family, bos_token_id=1, eos_token_id=2, pad_token_id=0,
                                               **({"decoder_start_token_id": 0} if seq2seq else {}), **fields)
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    model = auto.from_config(config, attn_implementation="eager").float().eval()
    fill(model, family)
    if fields.get("tie_word_embeddings") is False and seq2seq:
        model.lm_head.weight = torch.nn.Parameter(
            (torch.randn_like(model.lm_head.weight) * config.d_model ** -0.5).to(torch.bfloat16).float())
    shutil.rmtree(directory, ignore_errors=True)
    pairs = sequences(config.vocab_size, seq2seq)
    expected = {
        "tokens": torch.cat([torch.cat(pair) for pair in pairs]),
        "lengths": torch.tensor([len(p) + len(a) for p, a in pairs]),
        "first_labels": torch.tensor([len(p) for p, _ in pairs]),
    }
    with torch.no_grad():
        expected["logits"] = torch.cat([label_logits(model, pair, seq2seq) for pair in pairs])
        expected["generated"] = torch.stack([greedy(model, prompt, seq2seq) for prompt, _ in pairs]).int()
        expected.update(other_generations(model, pairs, expected["generated"], seq2seq))
    stored = auto.from_config(config).to(dtype)
    if seq2seq and fields.get("tie_word_embeddings") is False:
        stored.lm_head.weight = torch.nn.Parameter(stored.lm_head.weight.detach().clone())
    stored.load_state_dict(model.state_dict())
    stored.save_pretrained(directory)

    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lora = LoraConfig(task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM", **lora_settings(model, seq2seq, rng))
    tuned = get_peft_model(model, lora).eval()
    trained = [(name, p) for name, p in tuned.named_parameters() if p.requires_grad]
    for _, parameter in trained:
        parameter.data.copy_((torch.randn_like(parameter) * 0.3 * parameter.shape[1] ** -0.5))
    tuned.save_pretrained(directory / "adapter")
    with torch.no_grad():
        expected["adapter_logits"] = torch.cat([label_logits(tuned, pair, seq2seq) for pair in pairs])
        expected["adapter_generated"] = torch.stack([greedy(tuned, prompt, seq2seq) for prompt, _ in pairs]).int()
    if rng is not None:
        expected.update(record_double(tuned, trained, pairs, seq2seq))
        expected.update(record_prompt(directory, auto, config, state, pairs, seq2seq))
    optimizer = torch.optim.AdamW([p for _, p in trained], lr=LEARNING_RATE, weight_decay=0.01)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = mean_loss(tuned, pairs, seq2seq)
        loss.backward()
        if step == 0:
            expected.update({"gradient/" + adapter_name(name): p.grad.clone() for name, p in trained})
        losses.append(loss.item())
        optimizer.step()
    expected["losses"] = torch.tensor(losses, dtype=torch.float64)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in expected.items()},
              directory / "expected.safetensors")
    for extra in ["generation_config.json", "adapter/README.md", "prompt/README.md"]:
        (directory / extra).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--random", type=int, default=0, help="fresh configurations instead of the committed ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="models whose name holds this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shapes, rng = COMMITTED, None
    if arguments.random:
        rng = random.Random(arguments.seed)
        shapes = {f"random_{i}": random_shape(rng) for i in range(arguments.random)}
    for i, (name, fields) in enumerate(shapes.items()):
        if arguments.only not in name:
            continue
        print(name, fields, flush=True)
        record(arguments.directory / name, fields, arguments.seed * 1000 + i, rng)


if __name__ == "__main__":
    main()
