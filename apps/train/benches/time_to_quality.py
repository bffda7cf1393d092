"""How good a model gets in some minutes: `train --preset tales` beside its peers, in bits a byte.

    uv run --group bench python apps/train/benches/time_to_quality.py --text tales-train.txt
        tales-valid.txt --minutes 3 [--only groundup llama ...] [--seeds 0 1 2]

Same text, cores and wall time, each alone in its process. All but the peer over characters have the
same vocabulary of 4,096, made before the clock starts. What counts is the loss on the whole of the
validation text, each token predicted from at least half a context.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[2] / "benches"))

from measuring import commit, processor  # noqa: E402  (benches are no package)
from peers import RECIPES  # noqa: E402

OURS = "groundup"


def prepare(texts: list[Path], data: Path) -> None:
    """Writes the vocabulary and token files that all share."""
    train, valid = map(str, texts)
    names = ["--input", train, "--valid", valid, "--vocab-size", "4096", "--out", str(data)]
    subprocess.run([sys.executable, "-m", "prepare", *names], check=True, capture_output=True)


def run_peer(name: str, data: Path, texts: list[Path], minutes: float, seed: int) -> dict[str, Any]:
    """Trains a peer in a process of its own."""
    command = [sys.executable, str(HERE / "peers.py"), name, "--data", str(data), "--text"]
    command += [*map(str, texts), "--minutes", str(minutes), "--seed", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_ours(data: Path, minutes: float, seed: int, extra: list[str]) -> dict[str, Any]:
    """Trains by the command that a user types; the seconds are those until the last update."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "train", "--preset", "tales", "--data", str(data)]
        command += ["--out", str(out), "--minutes", str(minutes), "--seed", str(seed), *extra]
        begun = time.time()
        subprocess.run(command, check=True, stdout=sys.stderr)
        result = json.loads((out / "result.json").read_text())
        config = json.loads((out / "config.json").read_text())
        seconds = (out / "metrics.jsonl").stat().st_mtime - begun
        return {
            "about": "train --preset tales " + " ".join(extra),
            "precision": config["execution"]["precision"],
            "updates": result["steps"],
            "tokens": result["tokens"],
            "bits_per_byte": result["valid_bits_per_byte"],
            "seconds": seconds,
        }


def main() -> None:
    """Run what was asked for, one after the other, a line of JSON each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", type=Path, nargs=2, required=True, help="train and valid")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--only", nargs="+", choices=[OURS, *RECIPES], default=[OURS, *RECIPES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    words = "all that follows: flags for train"
    parser.add_argument("--ours", nargs=argparse.REMAINDER, default=[], help=words)
    options = parser.parse_args()
    print(f"{processor()}, commit {commit()}, {options.minutes:g} minutes each", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare(options.text, data)
        for seed in options.seeds:
            for name in options.only:
                if name == OURS:
                    found = run_ours(data, options.minutes, seed, options.ours)
                else:
                    found = run_peer(name, data, options.text, options.minutes, seed)
                print(json.dumps({"engine": name, "seed": seed} | found), flush=True)


if __name__ == "__main__":
    main()
