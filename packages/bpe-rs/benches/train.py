"""Training side by side: ours and its peers, each in a process of its own, in one run.

    uv run --group bench python packages/bpe-rs/benches/train.py --data DIR

DIR holds the corpora (`corpora.py` names them). For each work, equality of merges is asserted first
wherever tie rules agree; then every trainer has its turn in each round, a fresh process each, with
the corpus in the page cache. Printed is a report in Markdown; all figures go to a JSON file in the
folder of what is cached.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bpe_rs
from corpora import LINE_END, WORKS, Work, mark_line_ends, sha256
from report import Figures, report
from trainers import TRAINERS, Job

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import END

OURS = "bpe-rs"
OURS_AS_HUGGINGFACE = "bpe-rs-huggingface"


@dataclass(frozen=True)
class Proof:
    """Peers that must learn what `reference` learns.

    `mark_line_ends`: the reference gets a text with a special token after each line end, and so
    learns what a peer that cuts there learns.
    """

    reference: str
    peers: list[str]
    mark_line_ends: bool = False


PROOFS = [
    Proof(OURS_AS_HUGGINGFACE, ["gigatoken", "tokenizers"]),
    Proof(OURS_AS_HUGGINGFACE, ["gigabpe"], mark_line_ends=True),
    # rustbpe's tie rule is none of ours, but one of gigatoken's: at least it is called as meant.
    Proof("gigatoken-byte-ids", ["rustbpe"]),
]
TIMED = [OURS, OURS_AS_HUGGINGFACE, "gigabpe", "gigatoken", "rustbpe", "tokenizers"]


def run(job: Job) -> dict[str, float]:
    """One turn, in seconds and bytes, less what `worker.py` itself costs.

    Raises:
        RuntimeError: The process did not end well; its last words are in the message.
    """
    command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    environment = os.environ | {
        "RAYON_NUM_THREADS": str(job.threads),
        "TOKENIZERS_PARALLELISM": "true" if job.threads > 1 else "false",
    }
    arguments = [TRAINERS[job.trainer].module, json.dumps(asdict(job))]
    cpu_before = children_cpu_s()
    start = time.perf_counter()
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    process_s = time.perf_counter() - start
    cpu_s = children_cpu_s() - cpu_before
    if done.returncode != 0:
        raise RuntimeError(f"{job} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    figures["process_s"] = process_s - figures["own_s"]
    figures["cpu_s"] = cpu_s - figures["own_cpu_s"]
    return figures


def children_cpu_s() -> float:
    """User and system time of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def learned(job: Job, cache: Path) -> list[str]:
    """The merges of one turn, as `worker.py` writes them."""
    path = cache / "merges.txt"
    run(replace(job, merges=str(path)))
    lines = path.read_text().splitlines()
    path.unlink()
    return lines


def learned_by_reference(proof: Proof, job: Job, cache: Path) -> list[str]:
    """The merges that the proof's peers must learn."""
    job = replace(job, trainer=proof.reference)
    if not proof.mark_line_ends:
        return learned(job, cache)
    marked = cache / "marked.txt"
    mark_line_ends(Path(job.corpus), marked)
    merges = learned(replace(job, corpus=str(marked), special_token=LINE_END), cache)
    marked.unlink()
    return merges


def assert_equal(ours: list[str], theirs: list[str], job: Job) -> None:
    """Compares the merges for which both have room.

    gigabpe learns some more in place of the bytes that do not occur, so the longer list may go on.
    rustbpe tells only what a merge makes: then that is compared.
    """
    if not any(" " in merge for merge in theirs):
        ours = [merge.replace(" ", "") for merge in ours]
    for rank in range(merge_count(job)):
        pair = [merges[rank] if rank < len(merges) else "none" for merges in (ours, theirs)]
        if pair[0] != pair[1]:
            raise AssertionError(
                f"merge {rank} of {job.corpus} must be {pair[0]}, but {job.trainer}'s is {pair[1]}"
            )


def merge_count(job: Job) -> int:
    """How many merges the vocabulary has room for beside the bytes and the special token."""
    return job.vocab_size - 257


def available(trainer: str) -> bool:
    """Whether `bpe_rs` as installed has what this variant of ours asks for."""
    signature = inspect.signature(bpe_rs.train_bpe)
    return trainer != OURS_AS_HUGGINGFACE or "tie_break" in signature.parameters


def prove(job: Job, trainers: list[str], cache: Path) -> Iterator[str]:
    """Asserts equality wherever it can be, and says in words what was compared."""
    for proof in PROOFS:
        peers = [peer for peer in proof.peers if peer in trainers]
        if not available(proof.reference):
            yield f"{', '.join(peers)}: not compared, this bpe_rs has no `tie_break=`"
            continue
        merges = learned_by_reference(proof, job, cache) if peers else []
        for peer in peers:
            peer_job = replace(job, trainer=peer)
            assert_equal(merges, learned(peer_job, cache), peer_job)
            yield f"{peer}: its {merge_count(job):,} merges are those of {proof.reference}"


def turns(work: Work, trainers: list[str], threads: int) -> list[tuple[str, int]]:
    """Who has a turn in each round, and on how many threads."""
    one_thread = [(OURS, 1)] if work.by_threads and OURS in trainers and threads > 1 else []
    return [(trainer, threads) for trainer in trainers] + one_thread


def measure(name: str, options: argparse.Namespace) -> Figures:
    """All turns of a work, after its proofs."""
    work = WORKS[name]
    corpus = work.make(options.data, options.cache)
    trainers = [trainer for trainer in options.trainers if trainer not in work.left_out]
    job = Job(OURS, str(corpus), work.vocab_size, END, options.threads)
    figures = Figures(name, work.about, work.vocab_size, corpus.stat().st_size, sha256(corpus))
    for trainer, reason in work.left_out.items():
        if trainer in options.trainers:
            figures.notes.append(f"{trainer}: left out, {reason}")
    for proof in prove(job, trainers, options.cache):
        print(f"{name}: {proof}", file=sys.stderr)
        figures.notes.append(proof)
    for round_number in range(options.rounds):
        for trainer, threads in turns(work, trainers, options.threads):
            turn = run(replace(job, trainer=trainer, threads=threads))
            figures.turns.append({"trainer": trainer, "threads": threads, **turn})
            said = f"{name}: round {round_number + 1}, {trainer}: {turn['wall_s']:.3f} s"
            print(said, file=sys.stderr)
    return figures


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cache = Path(tempfile.gettempdir()) / "bpe-rs-bench"
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--cache", type=Path, default=cache, help="for what is made; %(default)s")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--trainers", nargs="+", choices=TIMED, default=TIMED)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def main() -> None:
    """Measures, prints, and keeps all figures."""
    options = parse()
    load = os.getloadavg()[0]
    options.cache.mkdir(parents=True, exist_ok=True)
    options.trainers = [trainer for trainer in options.trainers if available(trainer)]
    all_figures = [measure(name, options) for name in options.works]
    command = (
        "uv run --group bench python packages/bpe-rs/benches/train.py --data DIR "
        f"--works {' '.join(options.works)} --trainers {' '.join(options.trainers)} "
        f"--rounds {options.rounds} --threads {options.threads}"
    )
    text, raw = report(all_figures, command, load)
    path = options.cache / f"train-{raw['date']}.json"
    path.write_text(json.dumps(raw, indent=1))
    print(text)
    print(f"all figures: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
