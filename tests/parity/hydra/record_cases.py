"""Records the cases of case_inputs.json from hydra-core==1.3.8: record_cases.py DIRECTORY, into parse.jsonl, compose.jsonl
and yaml.jsonl."""
import json
import pathlib
import sys

import oracle
import report


def compositions(trees):
    records = []
    for name, tree in trees.items():
        built = oracle.Tree(name, tree["files"])
        records.append(built.record())
        records += [built.compose(config, overrides, resolve=True) for config, overrides in tree.get("compose", [])]
        records += [built.jobs(config, overrides) for config, overrides in tree.get("jobs", [])]
    for record in records:
        if record["kind"] == "compose" and record["ok"]:  # the text says all
            del record["cfg"]
            if record["resolved"] == record["yaml"]:
                del record["resolved"]
    return records


def interpolations(cases):
    records = [oracle.interpolation(document, key) for document, key in cases]
    for record in records:
        if "${oc.env:HOME}" in record["doc"]:
            record["value"] = "<env>"  # depends on the machine
    return records


def main():
    inputs = json.loads((pathlib.Path(__file__).parent / "case_inputs.json").read_text(encoding="utf-8"))
    files = {
        "parse": [oracle.parse(text) for text in inputs["parse"]],
        "compose": compositions(inputs["trees"]),
        "yaml": [oracle.yaml_scalar(text) for text in inputs["yaml_scalar"]]
        + [oracle.yaml_document(text) for text in inputs["yaml"]] + interpolations(inputs["interp"]),
    }
    for name, records in files.items():
        report.write([oracle.environment()] + records, pathlib.Path(sys.argv[1]) / f"{name}.jsonl")


if __name__ == "__main__":
    main()
