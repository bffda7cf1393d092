"""Runs that are stopped by real signals; the program behind test_survival.py.

It forks for each run, because starting torch takes seconds, and computes nothing itself, because
a process with threads must not fork. What torch imports at the first step is imported before, or a
run would be killed while it starts, and hardly ever while it trains.

    killed_runs.py DIRECTORY kill|stop COUNT OPTIONS...     at random moments, COUNT in all at least
    killed_runs.py DIRECTORY sampling|compiling 2 OPTIONS   while it does that: Ctrl-C, and SIGTERM

Each of OPTIONS, as JSON, is for one run after another, in turns.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from itertools import cycle
from pathlib import Path

import torch
import torch._dynamo
from optimkit import fastest_matmul_dtype
from tiny_run import make_data, make_model, make_train_data, make_trainer
from trainkit import StepLines, Terminated, generate

STEPS, EVAL_EVERY = 60, 5
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
PLACES = {"sampling": EVAL_EVERY, "compiling": 1}  # the first step that does it


class Samples:
    """Lets the model write after each evaluation, as the app `train` does."""

    def __init__(self, path, model, come_to):
        self.lines, self.model, self.come_to = StepLines(path), model, come_to

    def log(self, step, metrics):
        line = None
        if "valid_loss" in metrics:
            told = {"on_token": lambda _: self.come_to("sampling"), "seed": 0}
            line = {"token_ids": generate(self.model, [0], 12, **told).tolist()}
        self.lines.log(step, line)

    def close(self):
        self.lines.close()


class WaitFor:
    """Called at a place that a run has come to: if it is the one, waits there for a signal.

    The parent hears of it by a byte in `pipe`. A signal that is kept for later shows in its
    handler: `deferred_interrupt` puts back those before, so that a second one is not kept.
    """

    def __init__(self, place, number, pipe):
        self.place, self.number, self.pipe = place, number, pipe

    def __call__(self, place):
        if place != self.place:
            return
        self.place, before = None, signal.getsignal(self.number)
        os.write(self.pipe, b".")
        while signal.getsignal(self.number) is before:
            time.sleep(0.001)


def compile_by_torchs_own_operations(come_to):
    """So that no C++ compiler is needed, and the run can be found while it compiles."""

    def backend(graph, inputs):
        come_to("compiling")
        return graph.forward

    torch.compile = partial(torch.compile, backend=backend)


def run(directory, name, options, come_to=lambda place: None):
    """Train in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    trainer = None
    try:
        # After a fork torch makes its pool of threads anew, in the first thread that asks for it;
        # where two of autograd's asked at once, one found none, and the process was aborted.
        torch.set_num_threads(1)
        compile_by_torchs_own_operations(come_to)
        model = make_model()
        trainer = make_trainer(
            directory,
            model=model,
            run=name,
            loggers=(Samples(directory / name / "samples.jsonl", model, come_to),),
            max_steps=STEPS,
            checkpoint_every=3,
            eval_every=EVAL_EVERY,
            **options,
        )
        trainer.resume()
        trainer.train()
    except Terminated:
        os._exit(leave(trainer, 143))
    except KeyboardInterrupt:
        os._exit(leave(trainer, 130))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def leave(trainer, code):
    """`code`, if no step of the run is lost."""
    is_saved = trainer is None or (trainer.checkpoints.latest_step() or 0) >= trainer.step
    return code if is_saved else 2


def result(directory, name):
    """All that a run leaves: bytes of its last checkpoint and samples, metrics without times."""
    root = directory / name
    latest = root / "checkpoints" / f"step-{STEPS:06d}"
    files = {path.name: path.read_bytes() for path in latest.iterdir()}
    state = json.loads(files.pop("state.json"))
    files.pop("manifest.json")
    state["extra"].pop("wall_seconds")
    lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    times = ("wall_seconds", "tokens_per_second", "data_wait_share", "peak_memory_bytes")
    metrics = [{key: line[key] for key in line if key not in times} for line in lines]
    samples = (root / "samples.jsonl").read_bytes()
    assert samples.count(b"\n") == STEPS // EVAL_EVERY
    return files, state, metrics, samples


def exit_code(child):
    """How the process ended: negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturb_at_random(directory, mode, wanted, options):
    """Runs of which each goes on until a signal comes; how many signals, and how many ends."""
    begin = time.perf_counter()
    assert exit_code(run(directory, "undisturbed", next(options))) == 0
    seconds = time.perf_counter() - begin
    expected = result(directory, "undisturbed")
    draw, disturbed, finished = random.Random(0), 0, 0
    while not (disturbed >= wanted and finished):
        child = run(directory, "run", next(options))
        number = signal.SIGKILL if mode == "kill" else draw.choice([*EXIT_CODES])
        if disturbed < wanted:
            time.sleep(draw.uniform(0, seconds))
            os.kill(child, number)
        code = exit_code(child)
        if code in (-number, EXIT_CODES.get(number)):
            disturbed += 1
            continue
        assert code == 0, code
        assert result(directory, "run") == expected, "another result"
        shutil.rmtree(directory / "run")
        finished += 1
    return disturbed, finished


def disturb_inside(directory, place, options):
    """A run for each signal, of which the last goes on to its end; how many signals, and ends."""
    assert exit_code(run(directory, "undisturbed", options)) == 0
    for number in EXIT_CODES:
        name = f"{place}-{number}"
        hears, tells = os.pipe()
        child = run(directory, name, options, WaitFor(place, number, tells))
        os.close(tells)  # so that a run that ends before says so, too
        assert os.read(hears, 1), f"{name}: the run did not come there"
        os.close(hears)
        os.kill(child, number)
        code = exit_code(child)
        latest = (directory / name / "checkpoints" / "latest").read_text().strip()
        assert (code, latest) == (EXIT_CODES[number], f"step-{PLACES[place]:06d}"), (name, code)
    assert exit_code(run(directory, name, options)) == 0
    assert result(directory, name) == result(directory, "undisturbed"), f"{name}: another result"
    return len(EXIT_CODES), 1


def main():
    directory, mode, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    options = cycle([json.loads(text) for text in sys.argv[4:]])
    # A shell that starts a command in the background lets it, and all its children, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    fastest_matmul_dtype("cpu")  # once for all runs: on a busy machine the answer changes
    make_train_data(directory, "random", mixed=True)
    make_data(directory, "valid", 60)
    if mode in PLACES:
        print(*disturb_inside(directory, mode, next(options)))
    else:
        print(*disturb_at_random(directory, mode, wanted, options))


if __name__ == "__main__":
    main()
