"""Records the cases of case_inputs.json from hydra-core==1.3.8: record_cases.py OUT.jsonl."""
import json
import pathlib
import sys

import oracle
import report


def main():
    inputs = json.loads((pathlib.Path(__file__).parent / "case_inputs.json").read_text(encoding="utf-8"))
    records = [oracle.environment()]
    records += [oracle.parse(text) for text in inputs["parse"]]
    for name, tree in inputs["trees"].items():
        built = oracle.Tree(name, tree["files"])
        records.append(built.record())
        records += [built.compose(config, overrides, resolve=True) for config, overrides in tree.get("compose", [])]
        records += [built.jobs(config, overrides) for config, overrides in tree.get("jobs", [])]
    records += [oracle.yaml_scalar(text) for text in inputs["yaml_scalar"]]
    records += [oracle.yaml_document(text) for text in inputs["yaml"]]
    records += [oracle.interpolation(document, key) for document, key in inputs["interp"]]
    for record in records:
        if record["kind"] == "interp" and "${oc.env:HOME}" in record["doc"]:
            record["value"] = "<env>"  # depends on the machine
    report.write(records, sys.argv[1])


if __name__ == "__main__":
    main()
