#!/usr/bin/env python3
"""Records small tokenizers and what Hugging Face's do with texts, for tests/parity/tokenizers/tokenizer_parity_test.cpp.

Run it in this directory (trained.py says what it needs): it writes fixtures/texts.json and fixtures/<tokenizer>/ with the
tokenizer's files and cases.json: the special tokens around a text, and for each text its ids, what these decode to (null:
the text itself) and what without special tokens (null: the same).
"""
import json
import pathlib
import shutil
import tempfile

from transformers import AutoTokenizer

import sample_text
import trained

FIXTURES = pathlib.Path("fixtures")


def recorded(directory, texts):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    empty = tokenizer("")["input_ids"]
    whole = tokenizer("a")["input_ids"]
    before = whole.index(tokenizer("a", add_special_tokens=False)["input_ids"][0])
    cases = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer(text)["input_ids"] == empty[:before] + ids + empty[before:]
        decoded, plain = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)
        cases.append([ids, None if decoded == text else decoded, None if plain == decoded else plain])
    return empty[:before], empty[before:], cases


def dump(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        text = pathlib.Path(scratch) / "text.txt"
        text.write_text("\n".join(sample_text.training_text()), encoding="utf-8")
        directories = trained.train_all(text, FIXTURES, 350, small=True)
    for unwanted in FIXTURES.glob("*.tsv"):
        unwanted.unlink()
    texts = sample_text.all_cases()
    (FIXTURES / "texts.json").write_text("[\n" + ",\n".join(map(dump, texts)) + "\n]\n", encoding="ascii")
    for directory in directories:
        before, after, cases = recorded(directory, texts)
        rows = ",\n".join(map(dump, cases))
        (directory / "cases.json").write_text(f'{{"before":{dump(before)},"after":{dump(after)},"cases":[\n{rows}\n]}}\n',
                                              encoding="ascii")
        print(directory.name, sum(f.stat().st_size for f in directory.iterdir()), "bytes")


if __name__ == "__main__":
    main()
