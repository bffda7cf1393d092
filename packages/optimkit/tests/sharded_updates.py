"""Updates on two ranks that hold a part of each parameter; the program behind test_shards.py.

Forked, as torch's import takes longer than all of it. Prints JSON: for each case the greatest
difference from the weights, states and norms of one process, as a share of the greatest number.
"""

import json
import os
import sys
import traceback

import torch
import torch.distributed as dist
from optimkit import SGD, AdamW, Lion, Muon, clip_grad_norm_
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

SHAPES = {"matrix": (5, 6), "tall": (7, 3), "one row": (1, 4), "gain": (3,), "short": (1,)}
MUON = {"precision": "fp32", "weight_decay": 0.1}
CASES = {
    "AdamW": lambda named: AdamW(list(named.values()), weight_decay=0.1),
    "AdamW reference": lambda named: AdamW(list(named.values()), impl="reference"),
    "SGD": lambda named: SGD(list(named.values()), lr=0.1, momentum=0.9, weight_decay=0.1),
    "Lion": lambda named: Lion(list(named.values()), weight_decay=0.1),
    "Muon": lambda named: Muon(
        [
            {"params": [p for p in named.values() if p.ndim == 2]},
            {"params": [p for p in named.values() if p.ndim == 1], "rule": "adamw"},
        ],
        **MUON,
    ),
}


def parameters(dtype, mesh=None):
    """The same on every rank, divided by their rows if there is a `mesh`."""
    generator = torch.Generator().manual_seed(0)
    named = {}
    for name, shape in SHAPES.items():
        tensor = torch.randn(shape, generator=generator).to(dtype)
        if mesh is not None:
            tensor = distribute_tensor(tensor, mesh, [Shard(0)], src_data_rank=None)
        named[name] = torch.nn.Parameter(tensor)
    return named


def train(make, dtype, mesh=None):
    """Weights, states and norms after five updates by clipped gradients."""
    named = parameters(dtype, mesh)
    optimizer, generator = make(named), torch.Generator().manual_seed(1)
    norms = []
    for _ in range(5):
        for name, shape in SHAPES.items():
            grad = torch.randn(shape, generator=generator).to(dtype)
            if mesh is not None:
                grad = distribute_tensor(grad, mesh, [Shard(0)], src_data_rank=None)
            named[name].grad = grad
        norms.append(clip_grad_norm_(named.values(), 2.0))
        optimizer.step()
    states = [v for state in optimizer.state.values() for v in state.values()]
    return [*named.values(), *states, *norms]


def whole(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def worst(ours, theirs):
    """The greatest difference, as a share of the greatest number."""
    shares = [
        (o - t).abs().max() / t.abs().max().clamp(min=1e-30)
        for o, t in zip(ours, theirs, strict=True)
    ]
    return max(map(float, shares))


def rank_result(rank, port):
    places = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    result = {}
    for name, make in CASES.items():
        for dtype in (torch.float64, torch.bfloat16):
            ours = [whole(t).detach().double() for t in train(make, dtype, mesh)]
            theirs = [t.detach().double() for t in train(make, dtype)]
            result[f"{name} {str(dtype).removeprefix('torch.')}"] = worst(ours, theirs)
    dist.destroy_process_group()
    return result


def main():
    torch.set_num_threads(1)
    port = sys.argv[1]
    if not (child := os.fork()):
        code = 0
        try:
            rank_result(1, port)
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code)
    print(json.dumps(rank_result(0, port)))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
