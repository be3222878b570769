#!/usr/bin/env python3
"""Records what torch and transformers do in training: AdamW steps with parameter groups, gradient clipping, schedules.

usage: record_train.py > train.json          (torch, transformers)

tests/core/train reads the file; inputs are recorded with the results.
"""
import json
import math

import torch
from transformers import get_scheduler

LR, BETAS, EPSILON = 0.03, (0.85, 0.95), 1e-6


def floats(tensor):
    return [float(x) for x in tensor]


def adamw():
    """Two groups of one flat vector: [0, 5) with decay 0.1, [5, 8) with a quarter of the rate and no decay."""
    generator = torch.Generator().manual_seed(7)
    start = torch.randn(8, generator=generator)
    parts = [start[:5].clone().requires_grad_(True), start[5:].clone().requires_grad_(True)]
    optimizer = torch.optim.AdamW([{"params": [parts[0]], "lr": LR, "weight_decay": 0.1},
                                   {"params": [parts[1]], "lr": LR / 4, "weight_decay": 0.0}],
                                  betas=BETAS, eps=EPSILON)
    gradients, values = [], []
    for step in range(12):
        gradient = torch.randn(8, generator=generator) * 10.0 ** (step % 4 - 2)
        gradients.append(floats(gradient))
        parts[0].grad, parts[1].grad = gradient[:5].clone(), gradient[5:].clone()
        optimizer.step()
        values.append(floats(torch.cat([p.detach() for p in parts])))
    return {"learning_rate": LR, "beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON, "start": floats(start),
            "groups": [{"offset": 0, "size": 5, "scale": 1.0, "weight_decay": 0.1},
                       {"offset": 5, "size": 3, "scale": 0.25, "weight_decay": 0.0}],
            "gradients": gradients, "values": values}


def clipping():
    generator = torch.Generator().manual_seed(8)
    cases = []
    for scale, limit in ((3.0, 1.0), (3.0, 0.25), (0.01, 1.0)):
        gradient = torch.randn(16, generator=generator) * scale
        parameter = torch.zeros(16, requires_grad=True)
        parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_([parameter], limit)
        cases.append({"gradient": floats(gradient), "limit": limit, "norm": float(norm), "clipped": floats(parameter.grad)})
    return cases


def schedules():
    cases = []
    for name, peer in (("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")):
        for warmup, ratio, total in ((0, 0.0, 7), (3, 0.0, 10), (3, 0.5, 10), (0, 0.25, 10), (0, 0.03, 50)):
            steps = warmup if warmup > 0 else math.ceil(total * ratio)
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            scheduler = get_scheduler(peer, optimizer, num_warmup_steps=steps, num_training_steps=total)
            factors = []
            for _ in range(total):
                factors.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
            cases.append({"schedule": name, "warmup_steps": warmup, "warmup_ratio": ratio, "factors": factors})
    return cases


print(json.dumps({"adamw": adamw(), "clipping": clipping(), "schedules": schedules()}))
