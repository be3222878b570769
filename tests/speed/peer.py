"""The other side of compare.py: the same jobs as own_side.h, done by transformers and PEFT.

usage: peer.py JOB.json RESULT.json

A job that is not `tuned` is done as published continual-learning code does it: batches padded to their longest sequence
in the order given, logits of every position, the adapter hanging on the model, AdamW as it is by default. A `tuned` one
is done as well as the libraries allow without further kernels: fused AdamW, adapters in the model's type, merged for
inference, prompts sorted by length, texts tokenized all at once.
"""
import json
import pathlib
import sys
import time

import torch
from peft import PeftModel
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, StoppingCriteria,
                          StoppingCriteriaList)


def peak_megabytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0


def load_model(job):
    seq2seq = AutoConfig.from_pretrained(job["model"]).is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    return kind.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"])), seq2seq


def adapted_model(job, trainable):
    model, seq2seq = load_model(job)
    # Left to itself PEFT keeps adapters in fp32.
    return PeftModel.from_pretrained(model, job["adapter"], is_trainable=trainable,
                                     autocast_adapter_dtype=not job["tuned"]), seq2seq


def padded(rows, fill, left=False):
    longest = max(map(len, rows))
    pad = [[fill] * (longest - len(row)) for row in rows]
    return torch.tensor([p + r if left else r + p for p, r in zip(pad, rows)])


def training_batch(sequences, seq2seq):
    prompts = [s["tokens"][:s["first_label"]] for s in sequences]
    answers = [s["tokens"][s["first_label"]:] for s in sequences]
    inputs = prompts if seq2seq else [p + a for p, a in zip(prompts, answers)]
    labels = answers if seq2seq else [[-100] * len(p) + a for p, a in zip(prompts, answers)]
    return dict(input_ids=padded(inputs, 0), attention_mask=padded([[1] * len(i) for i in inputs], 0),
                labels=padded(labels, -100))


def train(job):
    model, seq2seq = adapted_model(job, True)
    batches = [training_batch(sequences, seq2seq) for sequences in job["batches"]]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job["learning_rate"], weight_decay=job["weight_decay"],
                                  fused=True if job["tuned"] else None)
    model.train()
    seconds, losses = [], []
    for batch in batches:
        start = time.perf_counter()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, job["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return dict(seconds=seconds, losses=losses)


def inference_model(job):
    model, _ = adapted_model(job, False)
    return (model.merge_and_unload() if job["tuned"] else model).eval()


def groups(job, rows):
    """Indices of the prompts that are computed together."""
    order = list(range(len(rows)))
    if job["tuned"]:
        order.sort(key=lambda i: len(rows[i]))
    return [order[i:i + job["slots"]] for i in range(0, len(order), job["slots"])]


class DrawnLengths(StoppingCriteria):
    """Ends each sequence after its own number of new tokens."""

    def __init__(self, prompt, lengths):
        super().__init__()
        self.ends = prompt + torch.tensor(lengths)

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids.shape[1] >= self.ends


def answer(model, job, prompts, new_tokens):
    answers = [None] * len(prompts)
    for group in groups(job, prompts):
        rows = [prompts[i] for i in group]
        lengths = [new_tokens[i] for i in group]
        ids = padded(rows, 0, left=True)
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=padded([[1] * len(r) for r in rows], 0, left=True),
                                 do_sample=False, max_new_tokens=max(lengths), eos_token_id=None, pad_token_id=0,
                                 use_cache=True, stopping_criteria=StoppingCriteriaList([DrawnLengths(ids.shape[1], lengths)]))
        for row, index, length in zip(out, group, lengths):
            answers[index] = row[ids.shape[1]:].tolist()[:length]
    return answers


def generate(job):
    model = inference_model(job)
    answer(model, job, job["warm"], [4] * len(job["warm"]))
    start = time.perf_counter()
    answers = answer(model, job, job["prompts"], job["new_tokens"])
    return dict(seconds=[time.perf_counter() - start], answers=answers)


def scored(model, job, prompts):
    scores = [[0.0] * len(job["candidates"]) for _ in prompts]
    for group in groups(job, prompts):
        for column, label in enumerate(job["candidates"]):
            rows = [prompts[i] + label for i in group]
            with torch.inference_mode():
                logits = model(input_ids=padded(rows, 0), attention_mask=padded([[1] * len(r) for r in rows], 0),
                               use_cache=False).logits
                wanted = padded([[-100] * len(prompts[i]) + label for i in group], -100)[:, 1:]
                log_p = torch.log_softmax(logits[:, :-1].float(), -1)
                chosen = log_p.gather(-1, wanted.clamp(min=0)[..., None])[..., 0] * (wanted >= 0)
            for index, value in zip(group, chosen.sum(1).tolist()):
                scores[index][column] = value
    return scores


def score(job):
    model = inference_model(job)
    scored(model, job, job["warm"])
    start = time.perf_counter()
    scores = scored(model, job, job["prompts"])
    return dict(seconds=[time.perf_counter() - start], scores=scores)


def load(job):
    start = time.perf_counter()
    model, seq2seq = load_model(job)
    begin = dict(decoder_input_ids=torch.tensor([[model.config.decoder_start_token_id]])) if seq2seq else {}
    with torch.inference_mode():
        logits = model.eval()(input_ids=torch.tensor([job["prompt"]]), **begin).logits[0, -1].float()
    return dict(seconds=[time.perf_counter() - start], logits=logits.tolist())


def tokenize(job):
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    lines = pathlib.Path(job["text"]).read_text(encoding="utf-8").split("\n")[:-1]
    start = time.perf_counter()
    if job["tuned"]:
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    else:
        ids = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
    return dict(seconds=[time.perf_counter() - start], ids=ids)


def main():
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    result = globals()[job["work"]](job)
    result["peak_mb"] = peak_megabytes()
    pathlib.Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
