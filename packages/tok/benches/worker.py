"""One job in a process of its own: `encode.py` starts this file for each figure.

    python worker.py MODULE '{"engine": ..., "work": ..., "threads": ..., ...}'

The last line printed is the figures as JSON.
"""

import sys
import time


def main(module_name: str, job_text: str) -> None:
    """Imports the engine's package, loads the vocabulary, and does the job."""
    start = time.perf_counter()
    module = __import__(module_name)
    import_s = time.perf_counter() - start
    import json
    from pathlib import Path

    from engines import ENGINES
    from works import WORKS, Job, digest

    job = Job(**json.loads(job_text))
    engine, work, data = ENGINES[job.engine], WORKS[job.work], Path(job.data)
    start = time.perf_counter()
    tokenizer = engine.load(module, Path(job.vocabulary))
    load_s = time.perf_counter() - start
    # Texts of other works would count into the peak of memory.
    text = "" if job.work in ("file", "load") else work.text(data)
    if job.prove:
        print(json.dumps({"digest": digest(engine, tokenizer, job, text)}))
        return
    figures = work.run(engine, tokenizer, job, text)
    print(json.dumps(figures | {"load, ms": load_s * 1e3, "import, ms": import_s * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
