#!/usr/bin/env python3
"""Checks of the repository itself: plugins are complete and honest about their source, and no file is large.

usage: tools/check_tree.py [ROOT]
"""
import pathlib
import subprocess
import sys

LARGEST = 200_000
LARGEST_BY_SUFFIX = {".safetensors": 4_500_000}  # the weights of the model that Mneme brings


def check_plugin(folder):
    """A plugin <name> has <name>.cpp with Source: and Deviations:, <name>.yaml, <name>_test.cpp and one CMake call."""
    name = folder.name
    source = folder / f"{name}.cpp"
    for file in (source, folder / f"{name}.yaml", folder / f"{name}_test.cpp", folder / "CMakeLists.txt"):
        if not file.is_file():
            yield f"plugins/{name}: {file.name} is missing"
    if source.is_file():
        comment = [line for line in source.read_text().splitlines() if line.startswith("///")]
        for word in ("Source:", "Deviations"):
            if not any(line.startswith(f"/// {word}") for line in comment):
                yield f"{source.name}: no line '/// {word} …' in its header comment: say where the method comes from and " \
                      "what differs ('none' if nothing does)"


def tracked_files(root):
    """Files of the checkout, or of the folder where there is no git."""
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return [root / name for name in listing.stdout.split("\0") if name]
    return [f for f in root.rglob("*") if f.is_file() and "build" not in f.relative_to(root).parts[0]]


def check_sizes(root):
    for file in tracked_files(root):
        limit = LARGEST_BY_SUFFIX.get(file.suffix, LARGEST)
        if file.is_file() and file.stat().st_size > limit:
            yield f"{file.relative_to(root)}: {file.stat().st_size} bytes, at most {limit} are allowed in the repository"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    complaints = list(check_sizes(root))
    for listing in sorted(root.glob("plugins/*/CMakeLists.txt")):
        complaints += check_plugin(listing.parent)
    print("\n".join(complaints + [f"tree: {len(complaints)} complaints"]))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
