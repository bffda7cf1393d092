"""`train` on several ranks without torchrun; the program behind test_torchrun.py.

    forked_ranks.py SIZE PORT ARGUMENTS...

It forks the ranks into torchrun's environment, so that torch is imported once for all.
"""

import os
import sys

import torch._dynamo  # what the first update would import
from train.__main__ import main as train_main


def run(rank):
    os.environ["RANK"] = str(rank)
    try:
        train_main()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


def main():
    size, port, *arguments = sys.argv[1:]
    os.environ |= {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    sys.argv = ["train", *arguments]
    children: list[int] = []
    for rank in range(int(size)):
        child = os.fork()
        if not child:
            os._exit(run(rank))
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
