"""Trains small tokenizers of every kind that Mneme reads, each into a directory as Hugging Face's models have it.

Needs transformers 5.17 with tokenizers, sentencepiece and protobuf.
"""
import json
import os
import pathlib
import shutil

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K % ""
LLAMA3 = CL100K % "{1,3}"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
# Small enough for a fixture; SentencePiece's own rules (nmt_nfkc) are as large as all other fixtures together.
RULES = ["\ufb01\tfi", "\ufb03\tffi", "\u2460\t1", "\uff21\tA", "\t\t ", "\r\t ", "\n\t ", "\u3000\t ", "\u00a0\t ", "e\u0301\t\u00e9",
         "A\u030a\t\u00c5", "\u212b\t\u00c5", "\u200b\t", "\u0915\u094d\t\u0915", "\u2026\t..."]


def sentencepiece_model(text, path, **options):
    settings = dict(input=str(text), model_prefix=str(path.with_suffix("")), minloglevel=2, num_threads=2,
                    character_coverage=0.9995)
    sentencepiece.SentencePieceTrainer.train(**(settings | options))
    path.with_suffix(".vocab").unlink()


def write_config(directory, **config):
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False))


def t5(text, out, size, rules):
    """T5's .model, and the same saved by transformers."""
    options = dict(normalization_rule_name="nmt_nfkc")
    if rules:
        tsv = out / "rules.tsv"
        tsv.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                               for a, b in (rule.rsplit("\t", 1) for rule in RULES)))
        options = dict(normalization_rule_tsv=str(tsv))
    directory = out / "t5_spiece"
    directory.mkdir()
    sentencepiece_model(text, directory / "spiece.model", model_type="unigram", vocab_size=size, pad_id=0, eos_id=1,
                        unk_id=2, bos_id=-1, hard_vocab_limit=False, **options)
    write_config(directory, tokenizer_class="T5Tokenizer", extra_ids=100)
    AutoTokenizer.from_pretrained(directory).save_pretrained(out / "t5_json")


def llama(text, out, size):
    """LLaMA 2's .model read the old and the new way, and saved by transformers."""
    directory = out / "llama_model"
    directory.mkdir()
    sentencepiece_model(text, directory / "tokenizer.model", model_type="bpe", vocab_size=size, byte_fallback=True,
                        split_digits=True, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False,
                        normalization_rule_name="identity", user_defined_symbols=["<tool>"])
    write_config(directory, tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, legacy=False)
    legacy = out / "llama_legacy_model"
    shutil.copytree(directory, legacy)
    write_config(legacy, tokenizer_class="LlamaTokenizerFast", add_bos_token=True, add_eos_token=True, legacy=True,
                 pad_token="<pad>")
    AutoTokenizer.from_pretrained(directory).save_pretrained(out / "llama_json")


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def trained(text, tokenizer, trainer, directory, **config):
    tokenizer.train([str(text)], trainer)
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    write_config(directory, tokenizer_class="PreTrainedTokenizerFast", **config)


def template(before=(), after=()):
    tokens = [*before, *after]
    single = " ".join([*(t for t, _ in before), "$A", *(t for t, _ in after)])
    return processors.TemplateProcessing(single=single, pair=single + " $B:1", special_tokens=tokens)


def llama2_file(text, out, size):
    """The form of LLaMA 2's tokenizer.json: normalizers write the blanks, nothing splits."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.pre_tokenizer = pre_tokenizers.Metaspace()  # for the training only
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train([str(text)], trainers.BpeTrainer(vocab_size=size, special_tokens=names, show_progress=False))
    parts = json.loads(t.to_str())
    parts["pre_tokenizer"] = None
    parts["added_tokens"] = [a for a in parts["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(parts))
    t.post_processor = template(before=[("<s>", 1)])
    directory = out / "llama2_json"
    directory.mkdir()
    t.save(str(directory / "tokenizer.json"))
    write_config(directory, tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level(text, out, size):
    def made(name, splitter, specials, normalizer=None, processor=None, **options):
        t = Tokenizer(models.BPE(**options))
        t.pre_tokenizer, t.decoder = splitter, decoders.ByteLevel()
        if normalizer:
            t.normalizer = normalizer
        if processor:
            t.post_processor = processor
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        trained(text, t, trainer, out / name, eos_token=str(specials[-1]))

    def split(pattern):
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    end = special("<|endoftext|>")
    made("gpt2_json", pre_tokenizers.ByteLevel(add_prefix_space=False), [end], processor=processors.ByteLevel(trim_offsets=False))
    made("prefix_json", pre_tokenizers.ByteLevel(add_prefix_space=True), [end])
    made("qwen2_json", split(QWEN2), [end], normalizer=normalizers.NFC())
    made("o200k_json", split(O200K), [end])
    bos = special("<s>")
    made("llama3_json", split(LLAMA3), [bos, special("<mask>", lstrip=True), AddedToken("<tool>", rstrip=True, single_word=True),
                                        AddedToken("<Note>", normalized=True), end], ignore_merges=True,
         processor=processors.Sequence([processors.ByteLevel(trim_offsets=False), template(before=[("<s>", 0)])]))
    falcon = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                      pre_tokenizers.Digits(False), pre_tokenizers.Split(Regex(r"[0-9][0-9][0-9]"), "isolated")])
    made("falcon_json", falcon, [end])


def unigram(text, out, size):
    """Normalizers, splitters and added tokens that the families do not use, on a unigram with byte fallback."""
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(),
                                         normalizers.Strip(), normalizers.Replace(Regex(r" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True),
                                               pre_tokenizers.Punctuation("merged_with_previous"),
                                               pre_tokenizers.Metaspace(prepend_scheme="first")])
    t.decoder = decoders.Metaspace()
    t.add_tokens([AddedToken("<Note>", normalized=True), AddedToken("<tool>", normalized=False, single_word=True, rstrip=True)])
    t.add_special_tokens([special("<mask>", lstrip=True)])
    t.post_processor = template(after=[("</s>", 1)])
    names = ["<unk>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=names, unk_token="<unk>", show_progress=False)
    t.train([str(text)], trainer)
    parts = json.loads(t.to_str())
    parts["model"]["byte_fallback"] = True
    parts["added_tokens"] = [a for a in parts["added_tokens"] if not a["content"].startswith("<0x")]
    directory = out / "unigram_json"
    directory.mkdir()
    (directory / "tokenizer.json").write_text(json.dumps(parts, ensure_ascii=False))
    write_config(directory, tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>", eos_token="</s>", clean_up_tokenization_spaces=True)


def train_all(text, out, size, small):
    """Every tokenizer below `out`, on the lines of the file `text`; small: with few rules of normalisation."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    t5(text, out, size, small)
    llama(text, out, size + 256)
    llama2_file(text, out, size + 256)
    byte_level(text, out, size + 256)
    unigram(text, out, size + 256)
    return sorted(d for d in out.iterdir() if d.is_dir())
