"""Runs of several ranks, one after another; the program behind test_ranks.py.

It forks the ranks, as killed_runs.py does and for its reasons, into the environment that torchrun
would give them.

    ranked_runs.py DIRECTORY RUNS

RUNS is JSON: for each run its `size`, its `name`, and if need be `signal`: [number, rank, step],
one that a rank gets after its update, `full`: [rank, count], a checkpoint at which the disk of
a rank is full, or `spoilt`: [weight, batch], whose gradient is NaN for that batch; all else is for
the config. One with `target_counts` computes
the gradient of one batch instead. Prints the exit codes of the
ranks, a list for each run.
"""

import errno
import json
import math
import os
import socket
import sys
import traceback
from pathlib import Path

import torch
import torch._dynamo
from optimkit import fastest_matmul_dtype, gathered, is_sharded, local_part
from tiny_run import make_data, make_model, make_trainer
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from trainkit import (
    Batch,
    Execution,
    Terminated,
    TrainConfig,
    join_ranks,
    make_optimizer,
    rank_rows,
    shard_model,
)
from trainkit.step import Stepper


def join(rank, size, port):
    places = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    return join_ranks()


def make_ranked_model(ranks, *, fsdp=False, dtype="float32", checkpoints=False, shape=()):
    model = make_model(**dict(shape)).to(getattr(torch, dtype))
    model.checkpoint_blocks(checkpoints)
    if fsdp and ranks.are_many:
        shard_model(model, ranks)
    return model


def fill_disk(count):
    """Lets no shard be written at the checkpoint that is the `count`-th."""
    write, calls = HuggingFaceStorageWriter.write_data, iter(range(1, 99))

    def write_data(*args):
        if next(calls) == count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*args)

    HuggingFaceStorageWriter.write_data = write_data


def spoil(trainer, ranks, name, number):
    """Makes one gradient NaN, in the part of the last rank where it is divided."""
    backward = trainer._stepper.backward

    def spoilt(batch, of):
        loss = backward(batch, of)
        grad = dict(trainer.model.named_parameters())[name].grad
        if of == number and (ranks.rank == ranks.size - 1 or not is_sharded(grad)):
            local_part(grad)[0] = math.nan
        return loss

    trainer._stepper.backward = spoilt


def train(
    ranks, directory, name, signalled, skews=False, making=(), full=None, spoilt=None, **options
):
    if full and full[0] == ranks.rank:
        fill_disk(full[1])
    model = make_ranked_model(ranks, **dict(making))
    trainer = make_trainer(directory, model=model, run=name, ranks=ranks, **options)
    trainer.resume()
    if spoilt:
        spoil(trainer, ranks, *spoilt)
    if skews and not ranks.is_first:
        with torch.no_grad():
            trainer.model.ln_final.weight[0] += 1e-7
    if signalled and signalled[1] == ranks.rank:
        number, _, step = signalled

        def send(*_):
            if trainer.step + 1 == step:  # the update is made, and not yet counted
                os.kill(os.getpid(), number)

        trainer.optimizer.register_step_post_hook(send)
    trainer.train()


def compute_gradients(ranks, directory, name, target_counts, making=()):
    """Of a batch whose rows have so many targets that count, a row at a time; into `name`.json."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(17, (len(target_counts), 9), generator=generator)
    mask = torch.arange(8) < torch.tensor(target_counts).unsqueeze(1)
    rows = rank_rows(len(ids), ranks.rank, ranks.size)
    batch = Batch(ids[rows, :-1], ids[rows, 1:], mask=mask[rows])
    config = TrainConfig(batch_size=len(ids), gradient_accumulation_steps=len(ids))
    model = make_ranked_model(ranks, **dict(making))
    stepper = Stepper(model, make_optimizer(model, config), config, Execution(), ranks)
    [loss] = ranks.sum([float(stepper.backward(batch, 0))])
    gradients = {key: gathered(w.grad).tolist() for key, w in model.named_parameters()}
    if ranks.is_first:
        (directory / f"{name}.json").write_text(json.dumps({"loss": loss, **gradients}))


def rank_exit_code(rank, directory, port, size, name, options):
    signalled = options.pop("signal", None)
    try:
        with join(rank, size, port) as ranks:
            if "target_counts" in options:
                compute_gradients(ranks, directory, name, **options)
            else:
                train(ranks, directory, name, signalled, **options)
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def fork_rank(rank, directory, port, size, name, **options):
    if child := os.fork():
        return child
    # A fork makes torch build its pool of threads anew at the next set_num_threads. Two threads of
    # autograd that come there at once, as with fully_shard, abort: "Invalid thread pool!".
    torch.set_num_threads(1)
    code = rank_exit_code(rank, directory, port, size, name, options)
    sys.stderr.flush()
    os._exit(code)


def exit_code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    directory, runs = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    fastest_matmul_dtype("cpu")  # once for all runs: on a busy machine the answer changes
    for name, count in (("train", 500), ("valid", 60)):
        make_data(directory, name, count)
    codes = []
    for run in runs:
        port = free_port()
        children = [fork_rank(rank, directory, port, **run) for rank in range(run["size"])]
        codes.append([exit_code(child) for child in children])
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
