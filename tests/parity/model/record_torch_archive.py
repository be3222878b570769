#!/usr/bin/env python3
"""Records files of torch.save() and what is in them, for tests/parity/model/torch_archive_test.cpp.

Needs torch 2.11 and safetensors. Run it in this directory: it writes fixtures/torch_archive/.
"""
import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path("fixtures/torch_archive")


class Small(torch.nn.Module):
    """Tied weights, a buffer, a module without parameters."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.act = torch.nn.ReLU()
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def mixed():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    tensors = {str(t).removeprefix("torch."): (torch.arange(-3, 9).abs().reshape(3, 4)).to(t)
               for t in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                         torch.int16, torch.int8, torch.uint8, torch.bool)}
    tensors |= {"transposed": base.t(), "columns": base[1:, 2:5], "scalar": torch.tensor(2.5), "empty": torch.empty(0, 7),
                "parameter": torch.nn.Parameter(base[0].clone()), "frozen": torch.nn.Parameter(base[1], requires_grad=False)}
    return tensors


def main():
    torch.manual_seed(7)
    OUT.mkdir(parents=True, exist_ok=True)
    state = Small().state_dict()
    torch.save(state, OUT / "module.bin")
    torch.save(mixed(), OUT / "mixed.bin")
    torch.save(mixed(), OUT / "protocol4.bin", pickle_protocol=4)
    torch.save(mixed(), OUT / "before_1_6.bin", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.ones(2), "epoch": 3}, OUT / "number.bin")
    torch.save({"weight": torch.ones(2), "sparse": torch.eye(3).to_sparse()}, OUT / "sparse.bin")
    torch.save(torch.ones(2), OUT / "tensor.bin")
    save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, OUT / "module.safetensors")
    save_file({k: v.detach().clone().contiguous() for k, v in mixed().items()}, OUT / "mixed.safetensors")


if __name__ == "__main__":
    main()
