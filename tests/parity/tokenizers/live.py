#!/usr/bin/env python3
"""Trains tokenizers on the spot and compares the ids of `mneme tokenize` with those of Hugging Face's, line by line.

usage: live.py PROGRAM [--text FILE] [--lines N] [--vocabulary N] [--seed N] [--keep DIR] [--odd N [--kinds json|model]] [--only-odd]

PROGRAM is mneme. FILE is what the tokenizers are trained on and all of whose lines are compared (default: the sentences
of sample_text.py); N random lines of any Unicode come on top, with and without special tokens, and the way back is
compared for those. --odd: N tokenizers more, with settings that odd.py draws. What the program refuses by name as not
supported is told and is no difference. Exits 1 for a difference, 77 where a library is missing (trained.py names them).
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

try:
    import google.protobuf  # noqa: F401  transformers needs it for a .model
    from transformers import AutoTokenizer

    import odd
    import trained
except ImportError as error:
    print(f"skipped: {error}; set MNEME_PEERS_PYTHON to a Python that has transformers, sentencepiece and protobuf")
    sys.exit(77)
import sample_text

SHOWN = 5


def ours(program, directory, rows, *options):
    """One result for each row, a text or ids."""
    given = "".join(json.dumps(row) + "\n" for row in rows)
    command = [program, "tokenize", "--model", str(directory), "--json", *options]
    done = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{directory.name}: {done.stderr.decode().strip()}")
    results = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    assert len(results) == len(rows), f"{directory.name}: {len(rows)} lines gave {len(results)}"
    return results


def report(name, what, rows, found, expected):
    wrong = [i for i, (a, b) in enumerate(zip(found, expected)) if a != b]
    print(f"{name:20} {what:24} {len(rows)} lines, {len(wrong)} differ", flush=True)
    for i in wrong[:SHOWN]:
        print(f"    {rows[i]!a:.200}\n      found    {found[i]!a:.200}\n      expected {expected[i]!a:.200}")
    return len(wrong)


def without_panics(tokenizer, rows):
    """The rows that the library itself survives."""
    def survives(row):
        try:
            tokenizer(row)
        except BaseException as error:  # a panic of Rust is no Exception
            if type(error).__name__ != "PanicException":
                raise
            return False
        return True

    return rows if survives(rows) else [row for row in rows if survives(row)]


def compare(program, directory, lines, tricky):
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
    except Exception as error:  # of no better type
        print(f"{directory.name}: transformers does not load it: {error}", flush=True)
        return 0
    try:
        ours(program, directory, [""])
    except RuntimeError as error:
        print(f"refused: {error}", flush=True)
        return 0 if "is not supported" in str(error) else 1
    lines, tricky = without_panics(tokenizer, lines), without_panics(tokenizer, tricky)
    wrong = 0
    for what, rows, options, special in [("lines", lines, [], False), ("random", tricky, [], False),
                                         ("random, special", tricky, ["--special"], True)]:
        expected = tokenizer(rows, add_special_tokens=special)["input_ids"]
        wrong += report(directory.name, what, rows, ours(program, directory, rows, *options), expected)
    for what, options, skip in [("back", [], False), ("back, none special", ["--skip-special"], True)]:
        texts = [tokenizer.decode(ids, skip_special_tokens=skip) for ids in expected]
        wrong += report(directory.name, what, expected, ours(program, directory, expected, "--decode", *options), texts)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--lines", type=int, default=3000)
    parser.add_argument("--vocabulary", type=int, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--odd", type=int, default=0)
    parser.add_argument("--kinds", choices=["json", "model", "both"], default="both")
    parser.add_argument("--only-odd", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    print("seed", options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        text = options.text or pathlib.Path(scratch) / "text.txt"
        if not options.text:
            text.write_text("\n".join(sample_text.training_text(options.seed)), encoding="utf-8")
        lines = text.read_text(encoding="utf-8").split("\n")
        tricky = sample_text.TRICKY + [sample_text.random_line(draw, sample_text.TRICKY) for _ in range(options.lines)]
        out = options.keep or pathlib.Path(scratch) / "trained"
        out.mkdir(parents=True, exist_ok=True)
        directories = [] if options.only_odd else trained.train_all(text, out, options.vocabulary, False)
        directories += odd.train_odd(draw, text, out, options.vocabulary, options.odd, options.kinds)
        wrong = sum(compare(options.program, d, lines, tricky) for d in directories)
        print(len(directories), "tokenizers")
    print("differences:", wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
