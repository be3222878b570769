#!/usr/bin/env python3
"""Checks the budgets of CONTRIBUTING.md: files 400 lines, headers 250, functions 60 lines and 5 parameters.

usage: tools/check_budgets.py [ROOT]

Relies on clang-format's layout. Exits 1 if anything is over its budget that ALLOWED does not name.
"""
import pathlib
import re
import sys

FILE_LINES, HEADER_LINES, FUNCTION_LINES, PARAMETERS = 400, 250, 60, 5
NO_FUNCTION = re.compile(r"^\s*(if|for|while|switch|else|do|try|catch|namespace|class|struct|enum|union|return|TEST_CASE|"
                         r"SECTION|#)\b|^\s*[}#]|\bnamespace\b")
TOPS = ("core", "plugins", "tools", "tests")

# What may be over a budget: the beginning of its path, the kind of budget, and why.
ALLOWED = (
    ("tests/speed/", "parameters", "a benchmark's variables"),
    ("tests/core/device/other_device.cpp", "parameters", "PyTorch's own signatures"),
)


def count_parameters(head):
    """Parameters of the function whose declaration is `head`, up to its brace."""
    start = head.find("(")
    if head[:start].endswith("operator"):
        start = head.find("(", start + 1)
    depth, commas, inside = 0, 0, ""
    for c in head[start:]:
        depth += (c in "([{<") - (c in ")]}>")
        if depth == 0:
            break
        commas += c == "," and depth == 1
        inside += c
    return commas + 1 if inside.strip("( ") not in ("", "void") else 0


def functions(lines):
    """(line number, length, parameters, name) of each function definition."""
    for end_of_head, line in enumerate(lines):
        if not line.rstrip().endswith("{") or ")" not in line or "](" in line:
            continue
        start = end_of_head
        while start > 0 and lines[start].startswith("    ") and not lines[start - 1].rstrip().endswith((";", "}", "{")):
            start -= 1
        head = " ".join(part.strip() for part in lines[start:end_of_head + 1])
        if NO_FUNCTION.match(head) or " = " in head.split("(")[0] or "(" not in head:
            continue
        indent = re.match(r" *", lines[start])[0]
        end = next((i for i in range(end_of_head + 1, len(lines)) if re.match(indent + r"}", lines[i])), end_of_head)
        name = re.search(r"([\w:~]+(?: ?[^\w\s(]+)?)\s*\(", head)
        yield start + 1, end - start + 1, count_parameters(head), name[1] if name else "?"


def is_allowed(complaint):
    """Whether ALLOWED names a complaint of check()."""
    return any(complaint.startswith(path) and f" {kind}, budget " in complaint for path, kind, _ in ALLOWED)


def check(path, text):
    lines = text.splitlines()
    limit = HEADER_LINES if path.endswith(".h") else FILE_LINES
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines, budget {limit}"
    for number, length, parameters, name in functions(lines):
        if length > FUNCTION_LINES:
            yield f"{path}:{number}: {name}() has {length} lines, budget {FUNCTION_LINES}"
        if parameters > PARAMETERS:
            yield f"{path}:{number}: {name}() has {parameters} parameters, budget {PARAMETERS}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    files = [f for top in TOPS for f in sorted((root / top).rglob("*")) if f.suffix in (".h", ".cpp", ".py", ".sh")]
    found = [line for f in files for line in check(f.relative_to(root).as_posix(), f.read_text())]
    over = [line for line in found if not is_allowed(line)]
    print("\n".join(over + [f"budgets: {len(files)} files, {len(over)} over budget, {len(found) - len(over)} allowed"]))
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
