#!/usr/bin/env python3
"""Mneme against Hugging Face transformers and PEFT: the same weights, ids and settings, in turns on the same cores.

usage: compare.py [WORKLOAD ...] [--program build/tests/speed_own_side] [--pairs 3] [--threads 2] [--json FILE]
                  [--steps N] [--most-load CORES] [--tiny] [--keep DIR] [--list]

Run it with a Python that has torch, transformers and peft. Each pair is one process of ours and one of the peer's, one
after the other (A B A B); what they computed is compared before anything is said about speed, and a workload whose
results differ has no ratio. Ratios are medians over the pairs. A training step is forward, backward, clipping and
AdamW; the first one of each process is warm-up. Memory is the process's own high-water mark. A process beside which
others used more than --most-load cores is run once more; `load` of the table says what was left of that.
Exits 1 where results differ, 77 where a library is missing. docs/speed.md says how to read the table.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent

try:
    import peft
    import torch
    import transformers

    import workloads
except ImportError as error:
    print(f"skipped: {error}; run this with a Python that has torch, transformers and peft")
    sys.exit(77)

TRAINING = {  # name: model, type, tuned, timed steps
    "llama-common-fp32": ("llama", "float32", False, 3),
    "llama-common-fp32-high": ("llama", "float32", False, 3),
    "llama-common-bf16": ("llama", "bfloat16", False, 4),
    "llama-tuned": ("llama", "bfloat16", True, 19),
    "t5-common-fp32": ("t5", "float32", False, 2),
    "t5-common-fp32-high": ("t5", "float32", False, 2),
    "t5-common-bf16": ("t5", "bfloat16", False, 2),
    "t5-tuned": ("t5", "bfloat16", True, 8),
}
PROMPTS = {  # name: work, type, tuned
    "generate-common-fp32": ("fixed", "float32", False),
    "generate-common-fp32-high": ("fixed", "float32", False),
    "generate-tuned-fp32": ("fixed", "float32", True),
    "generate-tuned": ("fixed", "bfloat16", True),
    "generate-drawn-tuned": ("drawn", "bfloat16", True),
    "score-common-fp32": ("score", "float32", False),
    "score-common-fp32-high": ("score", "float32", False),
    "score-tuned": ("score", "bfloat16", True),
}
OTHERS = ["load-llama", "load-t5", "tokenize", "tokenize-tuned"]
ALL = [*TRAINING, *PROMPTS, *OTHERS]


def make_job(name, models, directory, options):
    """`matmul_precision` is for our side alone: the peer multiplies in fp32 whatever it is told."""
    job = make_plain_job(name, models, directory, options)
    return job | dict(matmul_precision="high") if name.endswith("-high") else job


def make_plain_job(name, models, directory, options):
    if name in TRAINING:
        family, dtype, tuned, steps = TRAINING[name]
        return workloads.train_job(models, family, dtype, tuned, options.steps or steps, options.tiny)
    if name in PROMPTS:
        return workloads.prompt_job(models, *PROMPTS[name], options.tiny)
    if name.startswith("load"):
        return workloads.load_job(models, name.removeprefix("load-"), "float32")
    return workloads.tokenizer_job(directory / "tokenizer", name.endswith("tuned"), options.tiny)


def busy_seconds():
    """CPU seconds that the cores of this process have worked, for anybody."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    busy = 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] in cores:
            user, nice, system, _, _, interrupt, soft, *_ = map(int, fields[1:])
            busy += user + nice + system + interrupt + soft
    return busy / os.sysconf("SC_CLK_TCK")


def run_side(command, job, directory, options):
    """The result of one process, with the cores' `load` by others."""
    threads = options.threads
    job_file, result_file = directory / "job.json", directory / "result.json"
    job_file.write_text(json.dumps(job | dict(threads=threads)))
    environment = os.environ | dict(OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1",
                                    TOKENIZERS_PARALLELISM="true", TRANSFORMERS_VERBOSITY="error")
    for _ in range(2):
        result_file.unlink(missing_ok=True)
        start, busy, own = time.time(), busy_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, job_file, result_file], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{command[0]} failed:\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
        load = max(0, (busy_seconds() - busy - spent) / (time.time() - start))
        if load <= options.most_load:
            break
    return json.loads(result_file.read_text()) | dict(load=load)


def largest_relative(found, expected):
    scale = max(map(abs, expected))
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) / scale


def compare(name, job, own, peer):
    """(what was compared, whether it is equal enough)."""
    half = job["dtype"] == "bfloat16"
    if job["work"] == "train":
        # The peer's T5 computes its cross-entropy in bf16, whose three digits are all it can agree to.
        bound = (1e-2 if name.startswith("t5") else 2e-3) if half else 1e-4
        worst = max(abs(a - b) / abs(b) for a, b in zip(own["losses"], peer["losses"], strict=True))
        return f"losses of {len(own['losses'])} steps within {worst:.1e}", worst <= bound
    if job["work"] == "generate":
        if half:  # random weights have near ties, which bf16 decides either way
            same = sum(a[0] == b[0] for a, b in zip(own["answers"], peer["answers"], strict=True))
            return f"{same} of {len(peer['answers'])} first tokens equal", same >= 0.75 * len(peer["answers"])
        same = sum(a == b for a, b in zip(own["answers"], peer["answers"], strict=True))
        enough = 0.9 if name.endswith("-high") else 1  # the same with 16 bits, now and then
        return f"{same} of {len(peer['answers'])} answers equal", same >= enough * len(peer["answers"])
    if job["work"] == "score":
        found, expected = ([x for row in side["scores"] for x in row] for side in (own, peer))
        worst = largest_relative(found, expected)
        return f"scores within {worst:.1e}", worst <= (1e-2 if half else 1e-4)
    if job["work"] == "load":
        worst = largest_relative(own["logits"], peer["logits"])
        return f"logits within {worst:.1e}", worst <= 1e-4
    same = own["ids"] == peer["ids"]
    return f"ids of {len(peer['ids'])} lines {'equal' if same else 'differ'}", same


def amount(job, own):
    """Units of work that are timed, and their name."""
    if job["work"] == "train":
        return sum(len(s["tokens"]) for batch in job["batches"][1:] for s in batch), "tok/s"
    if job["work"] == "generate":
        return sum(job["new_tokens"]), "new tok/s"
    if job["work"] == "score":
        return len(job["prompts"]), "examples/s"
    if job["work"] == "load":
        return 1, "loads/s"
    return os.path.getsize(job["text"]) / 1e6, "MB/s"


def timed(job, result):
    return sum(result["seconds"][1:] if job["work"] == "train" else result["seconds"])


def measure(name, job, directory, options):
    sides = {"own": [options.program], "peer": [sys.executable, str(HERE / "peer.py")]}
    results = {side: [] for side in sides}
    row = dict(workload=name, pairs=options.pairs)
    for pair in range(options.pairs):
        for side, command in sides.items():
            results[side].append(run_side(command, job, directory, options))
        if pair == 0:
            row["check"], row["equal"] = compare(name, job, results["own"][0], results["peer"][0])
            if not row["equal"]:
                return row
    work, row["unit"] = amount(job, results["own"][0])
    for side in sides:
        row[side] = statistics.median(work / timed(job, r) for r in results[side])
        row[side + "_peak_mb"] = statistics.median(r["peak_mb"] for r in results[side])
    ratios = [timed(job, b) / timed(job, a) for a, b in zip(results["own"], results["peer"])]
    row.update(ratio=statistics.median(ratios), lowest=min(ratios), highest=max(ratios),
               memory=row["own_peak_mb"] / row["peer_peak_mb"],
               load=max(r["load"] for side in sides for r in results[side]))
    return row


def show(row):
    if not row["equal"]:
        print(f"{row['workload']:22} UNEQUAL, no ratio: {row['check']}", flush=True)
        return
    print(f"{row['workload']:22} {row['ratio']:7.2f} ({row['lowest']:.2f} to {row['highest']:.2f})   "
          f"{row['own']:9.1f} {row['peer']:9.1f} {row['unit']:10}  {row['own_peak_mb']:6.0f} {row['peer_peak_mb']:6.0f} MB "
          f"{row['memory']:5.2f}   {row['load']:.2f}  {row['check']}", flush=True)


def machine(threads):
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return dict(cpu=model, threads=threads, torch=torch.__version__, transformers=transformers.__version__,
                peft=peft.__version__)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="default: all; a beginning names several")
    parser.add_argument("--program", default=str(HERE.parents[1] / "build/tests/speed_own_side"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most-load", type=float, default=0.25, metavar="CORES",
                        help="work of others on the same cores that makes a process run once more (default 0.25)")
    parser.add_argument("--steps", type=int, default=0, help="timed training steps (0: the workload's own)")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="directory for the models, used again if they are there")
    parser.add_argument("--tiny", action="store_true", help="small shapes, for a trial of the program")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    options.names = [name for name in ALL
                     if not options.workloads or any(name.startswith(w) for w in options.workloads)]
    if not options.names:
        parser.error(f"no such workload; there are {', '.join(ALL)}")
    return options


def main():
    options = parse_arguments()
    if options.list:
        print("\n".join(options.names))
        return
    if not pathlib.Path(options.program).exists():
        print(f"skipped: {options.program} is not there; build the target speed_own_side or name it with --program")
        sys.exit(77)
    about = machine(options.threads)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{'workload':22} {'ratio':>7} (lowest to highest)     ours     peer  rate           ours   peer, ours/peer  "
          "load  check", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or pathlib.Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        transformers.utils.logging.disable_progress_bar()
        models = workloads.make_models(directory, options.tiny)
        for name in options.names:
            rows.append(measure(name, make_job(name, models, directory, options), pathlib.Path(scratch), options))
            show(rows[-1])
    if options.json:
        options.json.write_text(json.dumps(dict(machine=about, rows=rows), indent=1) + "\n")
    sys.exit(0 if all(row["equal"] for row in rows) else 1)


if __name__ == "__main__":
    main()
