#!/usr/bin/env python3
"""Checks that the C++ sources are laid out as clang-format 14 does with the root's .clang-format.

usage: tools/check_format.py [ROOT] [--fix]

--fix lays them out. Exits 1 if a file is laid out otherwise, and 77, which CTest takes as skipped, without clang-format 14.
"""
import argparse
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys

PROGRAM = "clang-format-14"
TOPS = ("core", "plugins", "tools", "tests")
SKIPPED = 77
WORKERS = 4


def laid_out_otherwise(files):
    """Those of the files that clang-format would change."""
    if not files:
        return set()
    done = subprocess.run([PROGRAM, "--dry-run", *files], capture_output=True, text=True, check=False)
    return set(re.findall(r"^(.+?):\d+:\d+: warning: code should be clang-formatted", done.stderr, re.MULTILINE))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?", default=pathlib.Path(__file__).parents[1], type=pathlib.Path)
    parser.add_argument("--fix", action="store_true")
    args = parser.parse_args()
    if not shutil.which(PROGRAM):
        print(f"format: skipped, {PROGRAM} is missing (Debian package {PROGRAM})")
        sys.exit(SKIPPED)
    names = [f.relative_to(args.root) for top in TOPS for f in sorted((args.root / top).rglob("*"))
             if f.suffix in (".h", ".cpp")]
    if args.fix:
        subprocess.run([PROGRAM, "-i", *(args.root / n for n in names)], check=True)
    files = [str(args.root / n) for n in names]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        other = set().union(*pool.map(laid_out_otherwise, (files[i::WORKERS] for i in range(WORKERS))))
    wrong = [f"{n.as_posix()}: is laid out otherwise than {PROGRAM} does; tools/check_format.py --fix"
             for n, f in zip(names, files) if f in other]
    print("\n".join(wrong + [f"format: {len(names)} files, {len(wrong)} laid out otherwise"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
