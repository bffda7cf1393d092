"""`train` on several ranks without torchrun; the program behind test_torchrun.py.

    forked_ranks.py RUNS

RUNS is JSON: for each run how many ranks it has, and the arguments of `train`. The ranks are forked
into torchrun's environment, so that torch is imported once for all. Prints the exit codes of the
ranks, a list for each run.
"""

import json
import os
import socket
import sys

import torch
import torch._dynamo  # what the first update would import
from train.__main__ import main as train_main


def exit_code(rank):
    os.environ["RANK"] = str(rank)
    try:
        train_main()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


def fork_rank(rank):
    if child := os.fork():
        return child
    # A fork makes torch build its pool of threads anew at the next set_num_threads. Two threads of
    # autograd that come there at once, as with fully_shard, abort: "Invalid thread pool!".
    torch.set_num_threads(torch.get_num_threads())
    os.dup2(2, 1)  # what is printed here are the codes
    code = exit_code(rank)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    codes = []
    runs = json.loads(sys.argv[1])
    for size, arguments in runs:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        places = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= places
        sys.argv = ["train", *arguments]
        children = [fork_rank(rank) for rank in range(size)]
        codes.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
