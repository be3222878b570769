"""Trains tokenizers with random settings: what their files may say beyond what the published models do."""
import json
import shutil

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import trained

BEHAVIOURS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
PATTERNS = [r"\s+", r"\d", r"[A-Z][a-z]+", r"\p{L}+|\p{N}{1,2}|[^\s\p{L}\p{N}]+|\s", r"(?<=\w)'(?=\w)", r"\p{Han}", r"[.,!?]+"]


def maybe(draw, share, value):
    return [value] if draw.random() < share else []


def random_normalizer(draw):
    n = normalizers
    steps = maybe(draw, 0.5, draw.choice([n.NFC, n.NFD, n.NFKC, n.NFKD])()) + maybe(draw, 0.3, n.Lowercase())
    steps += maybe(draw, 0.2, n.StripAccents()) + maybe(draw, 0.2, n.Strip(draw.random() < 0.5, draw.random() < 0.5))
    steps += maybe(draw, 0.2, n.Replace("e", "\u00e9\u0301")) + maybe(draw, 0.2, n.Replace(Regex(r"\d{2,}|[\s]{2,}"), " # "))
    steps += maybe(draw, 0.2, n.Nmt()) + maybe(draw, 0.15, n.Prepend("\u2581"))
    draw.shuffle(steps)
    return n.Sequence(steps) if steps else None


def random_splitter(draw, byte_level):
    p = pre_tokenizers
    steps = maybe(draw, 0.4, p.Digits(draw.random() < 0.5)) + maybe(draw, 0.3, p.Punctuation(draw.choice(BEHAVIOURS)))
    steps += maybe(draw, 0.3, p.Whitespace()) + maybe(draw, 0.3, p.WhitespaceSplit())
    steps += maybe(draw, 0.5, p.Split(Regex(draw.choice(PATTERNS)), draw.choice(BEHAVIOURS), draw.random() < 0.3))
    steps += maybe(draw, 0.2, p.Split(draw.choice(["e", "an", ". "]), draw.choice(BEHAVIOURS), draw.random() < 0.3))
    draw.shuffle(steps)
    if byte_level:
        return p.Sequence(steps + [p.ByteLevel(add_prefix_space=draw.random() < 0.5, use_regex=draw.random() < 0.5)])
    scheme = draw.choice(["always", "first", "never"])
    return p.Sequence(steps + [p.Metaspace("\u2581", scheme, draw.random() < 0.7)])


def random_added(draw, tokenizer):
    for content in draw.sample(["<note>", " odd ", "The", "ss", "\u00dcber", "(x)", "\u59d4\u5458", "12", "  ", "e\u0301"], 5):
        flags = {name: draw.random() < 0.4 for name in ["lstrip", "rstrip", "single_word", "normalized"]}
        token = AddedToken(content, special=draw.random() < 0.3, **flags)
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])


def json_file(draw, text, directory, size):
    kind = draw.choice(["byte_bpe", "byte_bpe", "bpe", "unigram"])
    byte_names = [f"<0x{b:02X}>" for b in range(256)] if kind != "byte_bpe" and draw.random() < 0.5 else []
    options = dict(vocab_size=size + len(byte_names), special_tokens=["<unk>", "</s>"] + byte_names, show_progress=False)
    if kind == "unigram":
        tokenizer, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token="<unk>", **options)
    else:
        flags = dict(fuse_unk=draw.random() < 0.5, ignore_merges=draw.random() < 0.3)
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=bool(byte_names), **flags))
        if kind == "byte_bpe":
            options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(**options)
    normalizer = random_normalizer(draw)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = random_splitter(draw, kind == "byte_bpe")
    tokenizer.decoder = decoders.ByteLevel() if kind == "byte_bpe" else draw.choice(
        [decoders.Metaspace(), decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])])
    tokenizer.train([str(text)], trainer)
    parts = json.loads(tokenizer.to_str())
    if kind == "unigram":
        parts["model"]["byte_fallback"] = bool(byte_names)
    parts["added_tokens"] = [a for a in parts["added_tokens"] if not a["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    random_added(draw, tokenizer)
    if draw.random() < 0.5:
        tokenizer.post_processor = trained.template(**draw.choice([dict(after=[("</s>", 1)]), dict(before=[("</s>", 1)])]))
    tokenizer.save(str(directory / "tokenizer.json"))
    trained.write_config(directory, tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>", eos_token="</s>",
                         clean_up_tokenization_spaces=draw.random() < 0.5)


def sentencepiece_file(draw, text, directory, size):
    t5 = draw.random() < 0.5
    rules = draw.choice(["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"])
    names = ["split_digits", "allow_whitespace_only_pieces", "add_dummy_prefix", "remove_extra_whitespaces", "split_by_unicode_script",
             "split_by_number", "split_by_whitespace"]
    flags = {name: draw.random() < 0.5 for name in names} | {"treat_whitespace_as_suffix": draw.random() < 0.2}
    symbols = dict(user_defined_symbols=draw.sample(["<tool>", "The", "\u59d4\u5458", "ing", "<s_1>", "12", "\u2581x", "e\u0301"], draw.randint(0, 4)),
                   control_symbols=draw.sample(["<sep>", "<cls>", "der"], draw.randint(0, 2)), max_sentencepiece_length=draw.choice([4, 16]))
    usual = draw.random() < 0.7  # else a unigram for LLaMA, or byte pairs for T5
    model_type = "unigram" if t5 == usual else "bpe"
    byte_fallback = draw.random() < (0.3 if t5 else 0.9)
    more = 256 if byte_fallback else 0
    shared = dict(model_type=model_type, byte_fallback=byte_fallback, normalization_rule_name=rules, hard_vocab_limit=model_type == "bpe", **flags, **symbols)
    if t5:
        trained.sentencepiece_model(text, directory / "spiece.model", vocab_size=size + more, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, **shared)
        trained.write_config(directory, tokenizer_class="T5Tokenizer", extra_ids=draw.choice([0, 3, 100]))
    else:
        trained.sentencepiece_model(text, directory / "tokenizer.model", vocab_size=size + more, **shared)
        trained.write_config(directory, tokenizer_class="LlamaTokenizer", legacy=draw.choice([True, False, None]),
                             **{name: draw.random() < 0.5 for name in ["add_bos_token", "add_eos_token"]},
                             **({"add_prefix_space": draw.random() < 0.5} if draw.random() < 0.4 else {}))


def train_odd(draw, text, out, size, count, kinds):
    """`count` directories below `out`; kinds: "json", "model" or both."""
    made = []
    forms = {"json": [json_file], "model": [sentencepiece_file], "both": [json_file, json_file, sentencepiece_file]}[kinds]
    for i in range(count):
        form = draw.choice(forms)
        directory = out / f"odd_{i}_{form.__name__}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            form(draw, text, directory, size)
        except (RuntimeError, OSError) as error:  # settings that SentencePiece's trainer does not take together
            print(f"{directory.name}: not trained: {error}")
            continue
        made.append(directory)
    return made
