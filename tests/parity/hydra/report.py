"""Hands recorded cases to `mneme config selftest`."""
import json
import pathlib
import subprocess
import tempfile


def write(records, path):
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            if "unrecordable" not in record:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def run(mneme, records):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
        write(records, file.name)
        result = subprocess.run([mneme, "config", "selftest", file.name], check=False)
    if result.returncode == 0:
        pathlib.Path(file.name).unlink()
    kept = sum("unrecordable" not in r for r in records)
    accepted = sum(bool(r.get("ok")) for r in records)
    print(f"{kept} records, {accepted} of them taken by Hydra")
    return result.returncode
