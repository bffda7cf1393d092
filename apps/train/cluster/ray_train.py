"""One training run on a Ray cluster: a task for each rank, with the arguments of `train`.

    python apps/train/cluster/ray_train.py 8 --data data/mine --out runs/mine --parallel fsdp

The first argument is how many ranks; each gets a GPU where the cluster has any. All nodes must see
the same files, and run this environment. A run that was begun goes on: a rank that dies ends the
others, and all are started again, up to three times.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import ray

MAX_RESTARTS = 3


@ray.remote
def meeting_place() -> tuple[str, int]:
    """An address of the node that this runs on, and a port that is free there."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return ray.util.get_node_ip_address(), listener.getsockname()[1]


@ray.remote(max_retries=0)
def run_rank(arguments: list[str], directory: str, environment: dict[str, str]) -> None:
    """Trains as one rank, in a process of its own.

    Raises:
        RuntimeError: It failed; the message has its last words.
    """
    command = [sys.executable, "-m", "train", *arguments]
    done = subprocess.run(
        command, cwd=directory, env=os.environ | environment, capture_output=True, text=True
    )
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")


def train(num_ranks: int, arguments: list[str], attempt: int) -> None:
    """Runs all ranks, and ends them all when one fails."""
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= num_ranks else 0
    host, port = ray.get(meeting_place.remote())
    shared = {
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RESTART_COUNT": str(attempt),  # with which `train` resumes what has begun
        "TORCHELASTIC_MAX_RESTARTS": str(MAX_RESTARTS),
    }
    tasks = [
        run_rank.options(num_cpus=1, num_gpus=gpus).remote(
            arguments, str(Path.cwd()), shared | {"RANK": str(rank)}
        )
        for rank in range(num_ranks)
    ]
    waiting = tasks
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            ray.get(done)
    except ray.exceptions.RayError:
        for task in waiting:  # not by force: what is interrupted ends its process
            ray.cancel(task)
        raise


def main() -> None:
    """Starts again what failed, until it is done or has failed too often."""
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit("how many ranks? ray_train.py NUM_RANKS [what `train` is told]")
    ray.init()
    for attempt in range(MAX_RESTARTS + 1):
        try:
            return train(int(sys.argv[1]), sys.argv[2:], attempt)
        except ray.exceptions.RayError as error:
            print(f"attempt {attempt}: {error}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
