"""One contestant in a process of its own: a job in JSON, then a round for each line of input."""

from __future__ import annotations

import json
import logging
import sys
import warnings

import torch
from works import WORKS, Job


def main() -> None:
    """Proves or prepares, says so in one line, then answers each line with a round's figures."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    job, threads, is_proof = (
        Job(**json.loads(sys.argv[1])),
        int(sys.argv[2]),
        sys.argv[3] == "prove",
    )
    torch.set_num_threads(threads)
    work = WORKS[job.work]
    if is_proof:
        assert work.prove is not None
        print(json.dumps(work.prove(job)), flush=True)
        return
    said, one_round = work.prepare(job)
    print(json.dumps(said), flush=True)
    for _ in sys.stdin:
        print(json.dumps(one_round()), flush=True)


if __name__ == "__main__":
    main()
