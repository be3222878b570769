"""Fresh random models of every family against the test program, and what the program writes against transformers and
PEFT. Exit code 77: transformers or PEFT is not there.

    python live.py build/tests/hf_parity_test [--random 24] [--seed 1] [--keep DIR]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

try:
    import torch
    import transformers
    from peft import PeftModel
    from safetensors.torch import load_file

    import record
except ImportError as error:
    print(f"skipped: {error}; set MNEME_PEERS_PYTHON to a Python that has transformers and peft")
    sys.exit(77)


def pairs_of(expected):
    start, pairs = 0, []
    for length, first in zip(expected["lengths"].tolist(), expected["first_labels"].tolist()):
        ids = expected["tokens"][start:start + length]
        pairs.append((ids[:first], ids[first:]))
        start += length
    return pairs


def error_of(theirs, name):
    ours = load_file(name)["logits"]
    return ((theirs - ours).abs().max() / theirs.abs().max()).item()


def check_written(directory):
    """The adapter and the merged model that the program wrote, read by PEFT and transformers."""
    expected = load_file(directory / "expected.safetensors")
    seq2seq = transformers.AutoConfig.from_pretrained(directory).is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM

    def load(path):
        return auto.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()

    def tuned(name):
        return PeftModel.from_pretrained(load(directory), directory / "ours" / name).eval()

    def label_logits(model):
        return torch.cat([record.label_logits(model, pair, seq2seq) for pair in pairs_of(expected)])

    logits = directory / "ours" / "logits.safetensors"
    with torch.no_grad():
        errors = {"adapter": error_of(label_logits(tuned("adapter")), logits),
                  "merged": error_of(label_logits(load(directory / "ours" / "merged")), logits),
                  "prompt": error_of(record.prompt_logits(tuned("prompt"), pairs_of(expected), seq2seq),
                                     directory / "ours" / "prompt_logits.safetensors")}
    for kind, error in errors.items():
        print(f"{directory.name}: {kind} as written here, read there: {error:.1e}", flush=True)
    return max(errors.values()) < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--random", "--count", dest="count", type=int, default=24, help="configurations")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.keep or pathlib.Path(temporary)
        print("seed", arguments.seed, flush=True)
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("record.py"), directory, "--random",
                        str(arguments.count), "--seed", str(arguments.seed)], check=True,
                       env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"})
        environment = {**os.environ, "MNEME_HF_PARITY": str(directory), "OMP_NUM_THREADS": "1"}
        passed = subprocess.run([arguments.program.resolve()], env=environment).returncode == 0
        for model in sorted(directory.iterdir()):
            passed = check_written(model) and passed
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
