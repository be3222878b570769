#!/usr/bin/env python3
"""Checks that includes point only downwards (ARCHITECTURE.md, layers).

usage: tools/check_layers.py [ROOT]

Prints one line per forbidden include and exits 1 if there is any.
"""
import pathlib
import re
import sys

# What each module of core/ may include, besides itself. Modules of one rank do not see each other.
LOWEST = {"base"}
EVENTS = LOWEST | {"event"}
MAY_INCLUDE = {
    "base": set(),
    "event": LOWEST,
    "config": LOWEST,
    "text": LOWEST,
    "metric": LOWEST,
    "record": EVENTS,
    "data": EVENTS | {"text", "metric"},
}
MAY_INCLUDE["model"] = EVENTS | {"text", "data"}
MAY_INCLUDE["adapter"] = MAY_INCLUDE["model"] | {"model"}
MAY_INCLUDE["strategy"] = MAY_INCLUDE["adapter"] | {"adapter"}
MAY_INCLUDE["plugin"] = MAY_INCLUDE["strategy"] | {"strategy"}
MAY_INCLUDE["train"] = MAY_INCLUDE["plugin"]
MAY_INCLUDE["eval"] = MAY_INCLUDE["plugin"] | {"metric"}
MAY_INCLUDE["run"] = set(MAY_INCLUDE) - {"run"}
MAY_INCLUDE["launch"] = EVENTS | {"config", "record"}
MAY_INCLUDE["report"] = EVENTS | {"config", "record", "metric"}

# Single files that may include more: the one place of a lower module where a config group becomes its options.
ALSO = {"core/data/stream_config": {"config"}}

# The program `mneme` consists of these and of tools/cli/light: not a header of LibTorch.
TORCH_FREE = {"base", "event", "config", "text", "metric", "record", "data", "launch", "report"}
TORCH = re.compile(r"(ATen|c10|caffe2|torch)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def core_module(path):
    """'strategy' for core/strategy/x.h, 'plugin.h' for the umbrella header, None outside core/."""
    parts = pathlib.PurePath(path).parts
    return parts[1] if len(parts) > 1 and parts[0] == "core" else None


def complaint(path, include):
    """What is wrong with an include of the file at path, None if nothing."""
    if include == "torch/torch.h":
        return "torch/torch.h costs ten seconds per file; include ATen/ATen.h or a smaller header"
    module, target = core_module(path), core_module(include)
    is_test = path.endswith("_test.cpp")
    if path.startswith("plugins/") and not is_test:
        if target and include != "core/plugin.h":
            return "a plugin includes core/plugin.h and nothing else of Mneme"
        return None
    light_program = path.startswith("tools/cli/light/") or path == "tools/cli/main_light.cpp"
    if (module in TORCH_FREE or light_program) and TORCH.match(include):
        return "this part is torch-free"
    if light_program and target and target not in TORCH_FREE:
        return "the program `mneme` may not use what needs LibTorch; use exec_full_program()"
    if module is None or target is None or module == target:
        return None
    if module == "plugin.h":
        return None if target in MAY_INCLUDE["strategy"] | {"strategy"} else "plugins may not see this module"
    if module not in MAY_INCLUDE:
        return f"module '{module}' is not in the table of layers"
    also = ALSO.get(path.rsplit(".", 1)[0], set())
    return None if target in MAY_INCLUDE[module] | also else f"{module} may not include {target}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    files = [f for top in ("core", "plugins", "tools") for f in sorted((root / top).rglob("*")) if f.suffix in (".h", ".cpp")]
    if not files:
        sys.exit(f"{root}: no sources found")
    wrong = 0
    for file in files:
        path = file.relative_to(root).as_posix()
        text = file.read_text()
        for match in INCLUDE.finditer(text):
            why = complaint(path, match[1])
            if why:
                print(f"{path}:{text.count(chr(10), 0, match.start(1)) + 1}: includes {match[1]}: {why}")
                wrong += 1
    print(f"layers: {len(files)} files, {wrong} forbidden includes")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
