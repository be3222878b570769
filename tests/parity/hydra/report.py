"""Hands recorded cases to `mneme config selftest`."""
import json
import pathlib
import re
import subprocess
import tempfile


def write(records, path):
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            if "unrecordable" not in record:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def run(mneme, name, records):
    """Holds Mneme against the records; prints differences and their share. Returns the number of differences."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
        write(records, file.name)
        result = subprocess.run([mneme, "config", "selftest", file.name], check=False, capture_output=True, text=True)
    print(result.stdout + result.stderr, end="")
    counts = re.search(r"(\d+) passed, (\d+) failed", result.stdout)
    if counts is None:
        return 1
    passed, failed = int(counts[1]), int(counts[2])
    if failed == 0:
        pathlib.Path(file.name).unlink()
    accepted = sum(bool(r.get("ok")) for r in records)
    print(f"{name}: {100 * passed / max(passed + failed, 1):.3f} % equal, {failed} of {passed + failed} differ; Hydra takes {accepted}\n")
    return failed
