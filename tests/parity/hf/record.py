"""Makes small random models with transformers and records what they compute: logits, greedy answers, LoRA gradients and
the losses of ten optimiser steps (PEFT, torch AdamW).

    python record.py fixtures            # the fixtures that are in the repository
    python record.py DIR --random 30 --seed 7    # fresh random configurations

Each model is a directory: config.json and model.safetensors as transformers saves them, adapter/ as PEFT saves it,
expected.safetensors with what was computed in fp32, one sequence at a time, without padding.
"""
import argparse
import copy
import pathlib
import random
import shutil

import torch
import transformers
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from safetensors.torch import save_file

import forms
from shapes import COMMITTED, random_form, random_shape

NEW_TOKENS = 64
STEPS = 10
LEARNING_RATE = 1e-3


def fill(model, family, dtype):
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
        # The recorded results are those of the weights as files round them.
        parameter.data.copy_(value.to(dtype).float())


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
    """Gradients in fp64 throughout: transformers' norms and softmax compute in fp32, which is undone here."""
    originals = {}
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim)
    for module in model.modules():
        if type(module).__name__.endswith(("RMSNorm", "LayerNorm")):
            kind = type(module)
            originals.setdefault(kind, kind.forward)
            kind.forward = lambda self, x: self.weight * x * torch.rsqrt(
                x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    model.double()
    mean_loss(model, pairs, seq2seq).backward()
    made = {"gradient64/" + adapter_name(name): p.grad.clone() for name, p in trained}
    torch.nn.functional.softmax = softmax
    for kind, forward in originals.items():
        kind.forward = forward
    for _, p in trained:
        p.grad = None
    model.float()
    return made


def prompt_logits(tuned, pairs, seq2seq):
    """Label rows of a model with soft tokens in front."""
    rows = []
    for prompt, answer in pairs:
        if seq2seq:
            rows.append(tuned(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None],
                              labels=answer[None]).logits[0])
        else:
            ids = torch.cat([prompt, answer])[:-1]
            rows.append(tuned(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None]).logits[
                0, len(prompt) + tuned.peft_config["default"].num_virtual_tokens - 1:])
    return torch.cat(rows)


def record_prompt(directory, model, pairs, seq2seq):
    """Prompt tuning: five soft tokens."""
    kind = TaskType.SEQ_2_SEQ_LM if seq2seq else TaskType.CAUSAL_LM
    tuned = get_peft_model(model, PromptTuningConfig(task_type=kind, num_virtual_tokens=5)).eval()
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    tuned.save_pretrained(directory / "prompt")
    with torch.no_grad():
        return {"prompt_logits": prompt_logits(tuned, pairs, seq2seq)}


def record(directory, fields, seed, rng=None):
    form = random_form(rng) if rng else dict(dtype="bfloat16", files="safetensors", old_config=False)
    dtype = getattr(torch, form["dtype"])
    torch.manual_seed(seed)
    fields = dict(fields)
    family = fields.pop("model_type")
    seq2seq = family == "t5"
    own_head = fields.pop("own_head", seq2seq and fields.get("tie_word_embeddings") is False)
    config = transformers.AutoConfig.for_model(family, bos_token_id=1, eos_token_id=2, pad_token_id=0,
                                               **({"decoder_start_token_id": 0} if seq2seq else {}), **fields)
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    model = auto.from_config(config, attn_implementation="eager").float().eval()
    fill(model, family, dtype)
    if own_head:
        model.lm_head.weight = torch.nn.Parameter(
            (torch.randn_like(model.lm_head.weight) * config.d_model ** -0.5).to(dtype).float())
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
    if own_head:
        stored.lm_head.weight = torch.nn.Parameter(stored.lm_head.weight.detach().clone())
    stored.load_state_dict(model.state_dict())
    forms.save(stored, directory, form["files"], form["old_config"])

    prompted = record_prompt(directory, copy.deepcopy(model), pairs, seq2seq) if rng is not None else {}
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
        expected.update(prompted)
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
