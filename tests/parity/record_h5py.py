#!/usr/bin/env python3
"""Reads the sample record with h5py exactly as core/record/README.md says and checks what it finds.

    MNEME_SAMPLE=/tmp/run.h5 build/tests/record_test '[.sample]'
    python3 tests/parity/record_h5py.py /tmp/run.h5

Run with h5py 3.16 (HDF5 2.0) and numpy 2.4; needs nothing else.
"""
import math
import re
import sys

import h5py
import numpy as np

TABLES = {
    "/stream/tasks": "name:s metric:s train_rows:i eval_rows:i test_rows:i train_sha256:s eval_sha256:s test_sha256:s",
    "/train/steps": "task:i phase:i epoch:i step:i lr:f loss:f tokens:i seconds:f",
    "/train/terms": "step:i name:s value:f",
    "/eval/examples": "after:i task:i row_id:s prediction:s score:f",
    "/cost/tasks": "task:i train_seconds:f eval_seconds:f strategy_seconds:f tokens:i flops:f peak_bytes:i "
    "trainable_parameters:i state_bytes:i",
}
ENVIRONMENT = (
    "program_version git_commit compiler libtorch cpu gpu threads seed strategy plugin_version plugin_fingerprint"
).split()


def kind(dtype):
    string = h5py.check_string_dtype(dtype)
    if string is not None:
        assert string.encoding == "utf-8" and string.length is None, string
        return "s"
    return {np.dtype("<i8"): "i", np.dtype("<f8"): "f"}[dtype]


def check(f):
    attributes = dict(f.attrs)
    assert sorted(attributes) == ["error", "finished", "format", "run_id", "started", "status", "version"], attributes
    assert attributes["format"] == "mneme-run" and attributes["version"] == 1
    assert np.issubdtype(type(attributes["version"]), np.integer)
    assert attributes["run_id"] == "0123456789ab" and attributes["status"] == "done" and attributes["error"] == ""
    for name in ("started", "finished"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attributes[name]), attributes[name]

    assert f["/config/resolved"].asstr()[()] == "seed: 7\nstrategy:\n  name: ewc\n  lambda: 0.5\n"
    assert f["/config/overrides"][()].decode() == "- seed=7\n"
    environment = f["/environment"].attrs
    assert sorted(environment) == sorted(ENVIRONMENT), sorted(environment)
    assert environment["strategy"] == "ewc" and environment["seed"] == 7 and environment["gpu"] == ""

    for path, columns in TABLES.items():
        table = f[path]
        found = " ".join(f"{name}:{kind(table.dtype[name])}" for name in table.dtype.names)
        assert found == columns, (path, found)
        assert table.chunks is not None and table.maxshape == (None,), path

    tasks = f["/stream/tasks"]
    assert [name.decode() for name in tasks["name"]] == ["news", "café", "sums"]
    assert tasks["train_rows"].tolist() == [100, 100, 100]
    steps = f["/train/steps"][:]
    assert len(steps) == 3600 and steps["loss"][1234] == math.sin(1235) and steps["task"][1234] == 2
    assert f["/train/terms"][-1]["name"] == b"ewc"
    assert f["/eval/examples"][61]["prediction"].decode() == "answer 2 é 1"
    assert f["/cost/tasks"]["tokens"].tolist() == [1000, 2000, 3000]

    scores = f["/eval/scores"]
    assert scores.dtype == np.float64 and scores.shape == (4, 3) and np.isnan(scores[0]).all()
    assert scores[1, 2] == 0.1 * 4 and math.isnan(scores.fillvalue)
    assert list(f["/eval/metrics"]) == ["rouge_l"] and f["/eval/metrics/rouge_l"][3, 1] == 0.01 * 6
    assert f["/analysis/router/confusion/3"][:].tolist() == [[1, 0], [0.5, 3]]


with h5py.File(sys.argv[1], "r") as record:
    check(record)
print("as documented")
