"""One training in a process of its own, measured: `train.py` starts this file for each figure.

    python worker.py MODULE '{"trainer": ..., "corpus": ..., "vocab_size": ..., ...}'

The last line printed is the figures as JSON.
"""

import sys
import time


def main(module_name: str, job_text: str) -> None:
    """Imports the trainer's package, trains, and only then looks at what came out."""
    start = time.perf_counter()
    module = __import__(module_name)
    import_s = time.perf_counter() - start
    # Not above: a package that needs json or dataclasses pays for importing them, as anywhere.
    own_start, own_cpu_start = time.perf_counter(), time.process_time()
    import json
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
    from measuring import peak_rss_bytes
    from trainers import TRAINERS, Job

    job = Job(**json.loads(job_text))
    trainer = TRAINERS[job.trainer]
    own_cpu_s = time.process_time() - own_cpu_start
    begun = time.perf_counter()
    learned = trainer.train(module, job)
    figures = {
        "import_s": import_s,
        "wall_s": time.perf_counter() - begun,
        "peak_rss_bytes": peak_rss_bytes(),
        "own_s": begun - own_start,  # what this file costs: some 20 ms, not the trainer's
        "own_cpu_s": own_cpu_s,
    }
    if job.merges is not None:
        write_merges(job.merges, trainer.merges(learned))
    print(json.dumps(figures))


def write_merges(path: str, merges: list[tuple[bytes, ...]]) -> None:
    """A merge a line, its tokens in hexadecimal."""
    with open(path, "w") as file:
        file.writelines(" ".join(token.hex() for token in merge) + "\n" for merge in merges)


if __name__ == "__main__":
    main(*sys.argv[1:])
