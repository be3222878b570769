#!/usr/bin/env python3
"""Compares `mneme tokenize` with Hugging Face's tokenizers on many small tokenizer.json files that nothing was trained for:
random vocabularies over a few characters, and random parts around them, more strange ones than any model's.

usage: tiny.py PROGRAM [--count N] [--seed N] [--keep DIR]

PROGRAM is mneme. A file that it refuses by the name of an element (UNSUPPORTED) is no difference; neither is a text at which
the library panics. DIR gets the files that differ. Exits 1 for a difference, 77 where the library is missing.
"""
import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

try:
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
except ImportError as error:
    print(f"skipped: {error}; set MNEME_PEERS_PYTHON to a Python that has tokenizers")
    sys.exit(77)
import sample_text

CHARACTERS = list("abcdeAB .,!'12\n\t\u00e9\u00df\u0130\u0301\u0323\ufb01\u00bd\u2460\u00a0\u3000\u200b\u2581\u4e2d\u6587\uac01"
                  "\u1100\u1161\u3042\u0430\u0627\u0915\u094d\U0001f600\u212b\u01c4\u0344\u1e9b")
BEHAVIOURS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PATTERNS = [r"\s+", r"\d", r"[A-Z][a-z]+", r"\p{L}+|\p{N}{1,2}|[^\s\p{L}\p{N}]+|\s", r"(?<=\w)'(?=\w)", r"\p{Han}", r"[.,!?]+",
            r"[^\S\n]+", r"(?i:'S|B)+", r"\s*[\r\n]+|\s+(?!\S)|\s+", r"\p{M}", r"[\p{Lu}\p{Lt}]*[\p{Ll}\p{Lo}]+", r".", r"(a|b)(?=c?)",
            r"[\u4e00-\u9fff\u3040-\u30ff]+", r"\p{Latin}+|\p{Hiragana}", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"(?i:'s|'t|'re)|\w{2,3}|\W+",
            r"^\s", r"\w$", r"a|$", r"\w*", r"(?:)"]
EMPTY = 3  # the last ones match nothing, which the library's normalizers garble at a text's start
UNSUPPORTED = ["is not supported", "which does not go with"]


def pattern(draw, patterns=PATTERNS):
    if draw.random() < 0.6:
        return {"Regex": draw.choice(patterns)}
    return {"String": draw.choice([" ", "a", "ab", ".", "  ", "\u2581", "\u0301", "\u4e2d"])}


def random_normalizer(draw, charsmap):
    plain = lambda *names: {"type": draw.choice(names)}
    steps = []
    for _ in range(draw.choice([0, 0, 1, 1, 2, 3, 4])):
        steps += [draw.choice([
            lambda: plain("NFC", "NFD", "NFKC", "NFKD"), lambda: plain("NFC", "NFD", "NFKC", "NFKD"), lambda: plain("Lowercase"),
            lambda: plain("StripAccents"), lambda: plain("Nmt"), lambda: {"type": "Prepend", "prepend": draw.choice(["\u2581", " ", "ab"])},
            lambda: {"type": "Strip", "strip_left": draw.random() < 0.5, "strip_right": draw.random() < 0.5},
            lambda: {"type": "Replace", "pattern": pattern(draw, PATTERNS[:-EMPTY]), "content": draw.choice(["", " ", "\u2581", "b", "e\u0301", "\ufb01"])},
            lambda: {"type": "Precompiled", "precompiled_charsmap": charsmap},
            lambda: plain("ByteLevel")])()]
    return {"type": "Sequence", "normalizers": steps} if len(steps) != 1 else steps[0]


def random_splitter(draw, byte_level):
    scheme = lambda: draw.choice(["always", "first", "first", "never"])
    def byte_step():
        return {"type": "ByteLevel", "add_prefix_space": draw.random() < 0.5, "use_regex": draw.random() < 0.5, "trim_offsets": True}
    def metaspace():
        return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme(), "split": draw.random() < 0.6}
    def split():
        return {"type": "Split", "pattern": pattern(draw), "behavior": draw.choice(BEHAVIOURS), "invert": draw.random() < 0.3}
    steps = []
    for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
        steps += [draw.choice([
            split, split, split, metaspace, lambda: {"type": "Digits", "individual_digits": draw.random() < 0.5},
            lambda: {"type": "Punctuation", "behavior": draw.choice(BEHAVIOURS)},
            lambda: {"type": draw.choice(["Whitespace", "WhitespaceSplit"])}])()]
    if draw.random() < 0.03:
        steps += [draw.choice([{"type": "UnicodeScripts"}, {"type": "BertPreTokenizer"}, {"type": "CharDelimiterSplit", "delimiter": "a"}])]
    last = byte_step if byte_level else metaspace
    steps += [last()] if draw.random() < 0.9 else []
    if draw.random() < 0.2:
        steps.insert(draw.randrange(len(steps) + 1), {"type": "Sequence", "pretokenizers": [split(), last()]})
    return {"type": "Sequence", "pretokenizers": steps} if len(steps) != 1 else steps[0]


def random_merges(draw, symbols, count):
    tokens, merges = list(symbols), []
    for _ in range(count):
        pair = [draw.choice(tokens[-20:] if draw.random() < 0.5 else tokens) for _ in range(2)]
        if len("".join(pair)) <= 8:
            merges.append(pair)
            if "".join(pair) not in tokens:
                tokens.append("".join(pair))
    return tokens, merges


def random_model(draw, byte_level):
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet()) if byte_level else CHARACTERS
    symbols = draw.sample(symbols, len(symbols) if draw.random() < 0.5 else len(symbols) * 4 // 5)
    if not byte_level and "\u2581" not in symbols:
        symbols.append("\u2581")
    tokens, merges = random_merges(draw, symbols, draw.randrange(150))
    if byte_level:  # pairs that texts do have
        texts = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        common = [c for c in texts.pre_tokenize_str("ab e\u00e91\u4e2d\ufb01")[0][0] if c in symbols]
        more, rules = random_merges(draw, common, 60)
        tokens, merges = tokens + [t for t in more if t not in tokens], merges + rules
    names = ["<unk>"] + draw.choice([[], [f"<0x{b:02X}>" for b in range(256)], [f"<0x{b:02X}>" for b in range(0, 256, 3)]])
    tokens = names + [t for t in tokens if t not in names]
    unknown = "<unk>" if draw.random() < 0.8 else None
    if not byte_level and draw.random() < 0.5:
        digits = draw.choice([1, 2, 15])
        return {"type": "Unigram", "unk_id": 0, "byte_fallback": len(names) > 1,
                "vocab": [[t, round(-10 * draw.random() * len(t) ** 0.5, digits)] for t in tokens]}
    return {"type": "BPE", "dropout": draw.choice([None, None, 0.0]), "unk_token": unknown, "continuing_subword_prefix": draw.choice([None, None, ""]),
            "end_of_word_suffix": draw.choice([None, None, None, ""]), "fuse_unk": draw.random() < 0.5, "byte_fallback": draw.random() < 0.5,
            "ignore_merges": draw.random() < 0.3, "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}


def random_decoder(draw):
    steps = [draw.choice([
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": draw.choice([" ", "a"]), "start": draw.randrange(3), "stop": draw.randrange(3)},
        {"type": "Replace", "pattern": pattern(draw), "content": draw.choice(["", " ", "xy"])},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": draw.choice(["always", "first", "never"]), "split": True}])
        for _ in range(draw.choice([0, 1, 1, 2, 3]))]
    return draw.choice([None, {"type": "Sequence", "decoders": steps}]) if len(steps) != 1 else steps[0]


def random_added(draw, start):
    contents = draw.sample(["<unk>", "</s>", "<s>", " a ", "a", "ab", "  ", "\n", "1", "\u00c9", "e\u0301", "\ufb01", "b b", "A", "\u4e2d\u6587", "\u2581", "\u0301"],
                           draw.randrange(6))
    flags = ["lstrip", "rstrip", "single_word", "normalized", "special"]
    return [{"id": start + i, "content": c} | {name: draw.random() < 0.35 for name in flags} for i, c in enumerate(contents)]


def random_processor(draw):
    token = lambda: {"SpecialToken": {"id": draw.choice(["<s>", "</s>"]), "type_id": 0}}
    text = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    template = lambda: {"type": "TemplateProcessing", "single": [token()] * draw.randrange(3) + [text("A")] + [token()] * draw.randrange(3),
                        "pair": [text("A"), text("B")], "special_tokens": {s: {"id": s, "ids": draw.sample(range(9), draw.randint(1, 2)), "tokens": [s, s][:1]} for s in ["<s>", "</s>"]}}
    pair = lambda: {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}
    roberta = lambda: {"type": "RobertaProcessing", "sep": ["</s>", 4], "cls": ["<s>", 3], "trim_offsets": True, "add_prefix_space": False}
    byte_level = lambda: {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    simple = [template, pair, roberta, byte_level]
    made = draw.choice([lambda: None, template, pair, roberta, byte_level,
                        lambda: {"type": "Sequence", "processors": [draw.choice(simple)() for _ in range(draw.randrange(3))]}])()
    for special in (made or {}).get("special_tokens", {}).values():
        special["tokens"] = ["x"] * len(special["ids"])
    for step in (made or {}).get("processors", []):
        for special in step.get("special_tokens", {}).values():
            special["tokens"] = ["x"] * len(special["ids"])
    return made


def random_file(draw, charsmap):
    byte_level = draw.random() < 0.4
    model = random_model(draw, byte_level)
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": random_added(draw, len(model["vocab"])),
            "normalizer": random_normalizer(draw, charsmap) if draw.random() < 0.8 else None,
            "pre_tokenizer": random_splitter(draw, byte_level), "post_processor": random_processor(draw), "decoder": random_decoder(draw),
            "model": model}


def texts_of(draw):
    parts = CHARACTERS + ["  ", "ab", "ca", "</s>", "<unk>", "\n\n", "aa", "'s", " a "]
    return ["".join(draw.choices(parts, k=draw.randrange(14))) for _ in range(60)] + sample_text.TRICKY[:44]


def ours(program, directory, rows, *options):
    """One result for each row; a text instead says why there is none."""
    given = "".join(json.dumps(row) + "\n" for row in rows)
    command = [program, "tokenize", "--model", str(directory), "--json", *options]
    done = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
    if done.returncode:
        return done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


def tried(function, *arguments, **options):
    """None where the library panics or raises."""
    try:
        return function(*arguments, **options)
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def compare(program, directory, file, texts):
    """The differences of one file, as lines to print, how many results were compared, or why it was refused."""
    content = json.dumps(file, ensure_ascii=False)
    (directory / "tokenizer.json").write_text(content, encoding="utf-8")
    tokenizer = tried(Tokenizer.from_str, content)
    if tokenizer is None:
        return [], 0, "the library does not load it"
    if tokenizer.normalizer:
        normalized = [tokenizer.normalizer.normalize_str(t["content"]) for t in file["added_tokens"] if t["normalized"]]
        if "" in normalized:
            return [], 0, "the library may loop for ever at a token of which the normalizer leaves nothing"
        if len(set(normalized)) < len(normalized):
            return [], 0, "of tokens that the normalizer makes equal the library takes any"
    compared, wrong = 0, []
    for what, special, options in [("ids", False, []), ("ids, special", True, ["--special"])]:
        expected = {t: e.ids for t in texts if (e := tried(tokenizer.encode, t, add_special_tokens=special)) is not None}
        found = ours(program, directory, list(expected), *options)
        if isinstance(found, str):
            if any(known in found for known in UNSUPPORTED):
                return [], 0, found.split("tokenizer.json: ")[-1].strip()
            return [f"{what}: {found}"], compared, None
        compared += len(expected)
        wrong += [f"{what} {t!a}\n      found    {f}\n      expected {e}" for f, (t, e) in zip(found, expected.items()) if f != e]
    rows = [ids for ids in expected.values() if ids]
    for what, skip, options in [("back", False, []), ("back, none special", True, ["--skip-special"])]:
        back = [tried(tokenizer.decode, ids, skip_special_tokens=skip) for ids in rows]
        found = ours(program, directory, rows, "--decode", *options)
        if isinstance(found, str):
            return wrong + [f"{what}: {found}"], compared, None
        compared += len(rows)
        wrong += [f"{what} {i}\n      found    {f!a}\n      expected {e!a}" for i, f, e in zip(rows, found, back) if e is not None and f != e]
    return wrong, compared, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    fixtures = pathlib.Path(__file__).parent / "fixtures"
    charsmap = json.loads((fixtures / "t5_json" / "tokenizer.json").read_text())["normalizer"]
    charsmap = next(n["precompiled_charsmap"] for n in charsmap.get("normalizers", [charsmap]) if n["type"] == "Precompiled")
    refused, differing, compared = collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        for seed in range(options.seed, options.seed + options.count):
            draw = random.Random(seed)
            file, texts = random_file(draw, charsmap), texts_of(draw)
            wrong, count, why = compare(options.program, directory, file, texts)
            compared += count
            if why:
                refused[why] += 1
            if wrong:
                differing += 1
                parts = {name: file[name] for name in ["normalizer", "pre_tokenizer", "decoder", "added_tokens", "post_processor"]}
                print(f"seed {seed}: {len(wrong)} differ", json.dumps(parts).replace(charsmap, "..."), flush=True)
                print("\n".join(f"    {line}" for line in wrong[:3]), flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{seed}.json").write_text(json.dumps(file, ensure_ascii=False))
    for why, count in refused.most_common():
        print(f"refused {count}: {why}")
    print(f"seed {options.seed}: {options.count} tokenizers, {sum(refused.values())} refused, {compared} results, {differing} tokenizers differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
