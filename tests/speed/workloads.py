"""What compare.py measures: models of real shapes with random weights, adapters, and the jobs that both sides do.

Weights are random normal, never zeros: products of zeros run faster. Models and adapters are saved by transformers and
PEFT; jobs are JSON as own_side.h describes them. Everything follows from fixed seeds.
"""
import pathlib
import random

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

VOCABULARY = 32000
STEP = 16  # sequences of a training step


class Shapes:
    """Sizes of the two models: a decoder of 41.7 M matmul parameters and T5-base; `tiny` ones for a trial."""

    def __init__(self, tiny):
        self.llama = dict(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=8,
                          intermediate_size=1376)
        self.t5 = dict(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_decoder_layers=12, num_heads=12)
        if tiny:
            self.llama.update(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
                              intermediate_size=96)
            self.t5.update(d_model=64, d_ff=96, num_layers=2, num_decoder_layers=2, num_heads=2, d_kv=32)


def fill(weight, deviation, generator, mean=0.0):
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=generator) * deviation + mean)


def make_llama(shape):
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=False, rms_norm_eps=1e-6, **shape,
                                         max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=2))
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            fill(weight, 0.1, generator, 1)
        else:
            fill(weight, 1 if "embed" in name else weight.shape[1]**-0.5, generator)
    return model


def make_t5(shape):
    model = T5ForConditionalGeneration(T5Config(vocab_size=32128, feed_forward_proj="relu", dropout_rate=0.0, **shape,
                                                tie_word_embeddings=True, decoder_start_token_id=0, pad_token_id=0))
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            fill(weight, 0.1, generator, 1)
        elif "shared" in name:
            fill(weight, 1, generator)
        elif "relative" in name:
            fill(weight, 0.5, generator)
        else:  # T5 does not scale the scores: its queries are small instead
            fill(weight, (weight.shape[1] * (shape["d_kv"] if name.endswith(".q.weight") else 1))**-0.5, generator)
    return model


def save_adapter(model, directory, targets, kind):
    """LoRA of rank 8 on queries and values whose B is not zero, so that every gradient says something."""
    generator = torch.Generator().manual_seed(2)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets, task_type=kind))
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            fill(weight, 0.05 if "lora_B" in name else 0.5 * weight.shape[1]**-0.5, generator)
    adapted.save_pretrained(directory)


def make_models(directory, tiny):
    """{"llama", "llama_adapter", "t5", "t5_adapter"}: directories, made unless they are there."""
    paths = {name: str(directory / name) for name in ("llama", "llama_adapter", "t5", "t5_adapter")}
    shapes = Shapes(tiny)
    for name, make, targets, kind in (("llama", make_llama, ["q_proj", "v_proj"], "CAUSAL_LM"),
                                      ("t5", make_t5, ["q", "v"], "SEQ_2_SEQ_LM")):
        if pathlib.Path(paths[name + "_adapter"], "adapter_model.safetensors").exists():
            continue
        model = make(getattr(shapes, name))
        model.save_pretrained(paths[name])
        save_adapter(model, paths[name + "_adapter"], targets, kind)
    return paths


class Draw:
    """Token ids with the length laws of the real suites."""

    def __init__(self, seed, tiny):
        self.random = random.Random(seed)
        self.tiny = tiny

    def length(self, mean=150, longest=512, sigma=0.6):
        value = self.random.lognormvariate(torch.tensor(float(mean)).log().item() - sigma**2 / 2, sigma)
        return max(12, min(longest, int(value))) // (8 if self.tiny else 1) + 2 * self.tiny

    def ids(self, count):
        return [self.random.randrange(3, VOCABULARY) for _ in range(count)]


def training_steps(count, seed, tiny, behind):
    """Steps of 16 sequences with answers of 1 to 8 tokens: `behind` a prompt, else at the end of the length drawn."""
    draw = Draw(seed, tiny)
    steps = []
    for _ in range(count):
        step = []
        for _ in range(4 if tiny else STEP):
            length, answer = draw.length(), draw.random.randint(1, 8)
            first = length if behind else max(length - answer, 1)
            step.append(dict(tokens=draw.ids(first + answer), first_label=first))
        steps.append(step)
    return steps


def sorted_steps(steps):
    """The same sequences, those of about the same length together, in a random order of steps."""
    size = len(steps[0])
    flat = sorted((s for step in steps for s in step), key=lambda s: len(s["tokens"]))
    grouped = [flat[i:i + size] for i in range(0, len(flat), size)]
    random.Random(1).shuffle(grouped)
    return grouped


def train_job(models, family, dtype, tuned, steps, tiny):
    """`steps` steps are timed behind a first one, which both sides count as warm-up."""
    count = steps + 1
    batches = training_steps(20 if tuned and not tiny else count, 3, tiny, family == "t5")
    if tuned:
        batches = sorted_steps(batches)[:count]
    return dict(work="train", model=models[family], adapter=models[family + "_adapter"], dtype=dtype, tuned=tuned,
                batches=batches, learning_rate=1e-4, weight_decay=0.01, clip=1.0)


def prompt_job(models, work, dtype, tuned, tiny):
    """64 prompts; to answer with 64 tokens each or, for `drawn`, with up to 64; or to score four labels behind."""
    draw = Draw(4, tiny)
    count = 8 if tiny else 64
    lengths = [draw.length(150) if work == "score" else draw.length(100, 256, 0.4) for _ in range(count)]
    job = dict(work="score" if work == "score" else "generate", model=models["llama"], adapter=models["llama_adapter"],
               dtype=dtype, tuned=tuned, slots=16, prompts=[draw.ids(n) for n in lengths],
               warm=[draw.ids(30) for _ in range(16)])
    if work == "score":
        return job | dict(candidates=[draw.ids(n) for n in (1, 2, 3, 4)])
    most = 6 if tiny else 64
    drawn = [min(most, max(2, int(draw.random.expovariate(1 / 20)))) for _ in range(count)]
    return job | dict(new_tokens=drawn if work == "drawn" else [most] * count)


def tokenizer_job(directory, tuned, tiny):
    """A byte-level BPE trained on the spot on words of a Zipf law, and a text of such words to encode."""
    random_words = random.Random(6)
    words = ["".join(random_words.choice("etaoinshrdlucmfwypvbgkqjxzäöüßé") for _ in range(random_words.randint(1, 11)))
             for _ in range(5000)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    lines = [" ".join(random_words.choices(words, weights, k=random_words.randint(5, 60))) + "."
             for _ in range(500 if tiny else 20000)]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=8000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>", "</s>"],
        show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(directory)
    return dict(work="tokenize", model=str(directory), text=str(directory / "text.txt"), dtype="float32", tuned=tuned)


def load_job(models, family, dtype):
    return dict(work="load", model=models[family], dtype=dtype, tuned=False, prompt=Draw(7, False).ids(16))
