"""One run on the stories, looked at closely: its gradients, and what its checkpoints write.

    OMP_NUM_THREADS=1 uv run train --out runs/handbook --precision fp32 --compile off \
        --log-every 1 --keep-checkpoints-every 370
    uv run python docs/handbook/results/stories_run.py --run runs/handbook --data data/stories

The second command writes stories_run.json beside this file. The run is the default one, but that
each update is logged and each checkpoint kept; on one thread, as the machine had other work.
"""

import argparse
import json
import platform
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import torch
from prepare.stories import STORIES
from sample import LoadedRun, load_run, write
from shared import END, machine

STEPS = (370, 740, 1110, 1480, 1850)
FIRST, LAST = STEPS[0], STEPS[-1]
COUNT = 200
MAX_NEW_TOKENS = 250  # of a context of 256; a story has 112 on average

STORY_BEGUN = "Last summer, Tom's red crown was"
PLACES = {
    "one word fits": f"{STORY_BEGUN} stuck in a pretty tree in the garden. Tom jumped, but the",
    "many words fit": f"{STORY_BEGUN} stuck in a pretty tree in the garden. Tom jumped, but the "
    "crown was too high. He was a little",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "temperature 0": {"temperature": 0.0},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 1": {"temperature": 1.0},
    "temperature 1.5": {"temperature": 1.5},
    "temperature 1.5, top_k 10": {"temperature": 1.5, "top_k": 10},
    "temperature 1.5, top_p 0.9": {"temperature": 1.5, "top_p": 0.9},
    "temperature 1.5, min_p 0.1": {"temperature": 1.5, "min_p": 0.1},
}

Words = tuple[str, ...]


def words_of(text: str) -> list[str]:
    """Words and marks, as a reader would count them."""
    return re.findall(r"[\w']+|[^\w\s]", text)


def runs_of(words: Sequence[str], length: int) -> Iterator[Words]:
    """All runs of `length` words, from left to right."""
    for start in range(len(words) - length + 1):
        yield tuple(words[start : start + length])


class TrainingText:
    """What a model was trained on, to find in what it writes."""

    def __init__(self, stories: Sequence[str], length: int = 8) -> None:
        self.stories = frozenset(stories)
        self._length = length
        # Hashes: the runs themselves would take a gigabyte.
        self._runs = {hash(run) for story in stories for run in runs_of(words_of(story), length)}

    def share_of_runs(self, texts: Iterable[str]) -> float:
        """How many of the texts' runs of `length` words stand in it, too."""
        known = [
            hash(run) in self._runs
            for text in texts
            for run in runs_of(words_of(text), self._length)
        ]
        return sum(known) / len(known)


def measured(texts: list[str], training: TrainingText) -> dict[str, Any]:
    """What can be counted in texts without reading them."""
    fours = [run for text in texts for run in runs_of(words_of(text), 4)]
    return {
        "count": len(texts),
        "parse": sum(bool(STORIES.derivations(text)) for text in texts),
        "different": len(set(texts)),
        "distinct_4": round(len(set(fours)) / len(fours), 4),
        "seen_8": round(training.share_of_runs(texts), 4),
        "copied": sum(text in training.stories for text in texts),
    }


def trigram_texts(stories: Sequence[str], count: int) -> list[str]:
    """Texts in which each word follows the two before it as often as in `stories`."""
    following = defaultdict(list)
    for story in stories:
        words = ["", "", *story.split(), ""]
        for one, two, three in zip(words, words[1:], words[2:], strict=False):
            following[one, two].append(three)
    random = Random(0)

    def text() -> str:
        words = ["", ""]
        while len(words) == 2 or words[-1]:
            words.append(random.choice(following[words[-2], words[-1]]))
        return " ".join(words[2:-1])

    return [text() for _ in range(count)]


def continued(run: LoadedRun, prompt: str, knobs: dict[str, Any]) -> list[str]:
    """`COUNT` texts that begin with `prompt`, by the model's own distribution but for `knobs`."""
    plain = {"temperature": 1.0, "top_p": None, "num_samples": COUNT}
    return write(run.model, run.tokenizer, prompt, max_new_tokens=MAX_NEW_TOKENS, **plain | knobs)


@torch.no_grad()
def logits_of(run: LoadedRun, text: str) -> tuple[list[int], torch.Tensor]:
    """The ids of a document that begins with `text`, and the logits after each: `(seq, vocab)`."""
    before = run.tokenizer.encode(f"{END}\n")
    token_ids = before + run.tokenizer.encode(text)
    return token_ids[len(before) :], run.model(torch.tensor([token_ids]))[0, len(before) - 1 :]


def surprise(run: LoadedRun, text: str) -> list[float]:
    """-ln P of each token of `text`, in nats, predicted from those before."""
    token_ids, logits = logits_of(run, text)
    log_probs = logits[:-1].log_softmax(dim=-1)
    return [round(-log_probs[at, token_id].item(), 4) for at, token_id in enumerate(token_ids)]


def pieces(run: LoadedRun, text: str) -> list[str]:
    """The tokens of `text`, each as text."""
    return [run.tokenizer.decode([token_id]) for token_id in run.tokenizer.encode(text)]


def looked_at(runs: dict[int, LoadedRun], stories: list[str], new: list[str]) -> dict[str, Any]:
    """All of it that needs a model."""
    training, last = TrainingText(stories), runs[LAST]
    shown = new[1]
    changed = shown.replace("reach my crown", "reach my kite")
    assert changed != shown
    by_knobs = {name: continued(last, STORY_BEGUN, knobs) for name, knobs in SETTINGS.items()}
    by_step = {step: continued(run, "", {}) for step, run in runs.items()}
    others = {
        "training text": stories[:COUNT],
        "word trigrams": trigram_texts(stories, COUNT),
        "new stories": new[:COUNT],
    }
    return {
        "vocabulary": [last.tokenizer.decode([i]) for i in range(last.model.config.vocab_size)],
        "places": {
            name: {
                "text": text,
                "logits": [round(logit, 3) for logit in logits_of(last, text)[1][-1].tolist()],
            }
            for name, text in PLACES.items()
        },
        "settings": {
            name: measured(texts, training) | {"text": texts[0]} for name, texts in by_knobs.items()
        },
        "checkpoints": {
            step: measured(texts, training) | {"texts": texts[:8]}
            for step, texts in by_step.items()
        },
        "others": {
            name: measured(texts, training) | {"text": texts[0]} for name, texts in others.items()
        },
        "along": {
            "text": shown,
            "pieces": pieces(last, shown),
            "changed_pieces": pieces(last, changed),
            "nats": {step: surprise(run, shown) for step, run in runs.items()},
            "changed_nats": surprise(last, changed),
        },
    }


def trained(directory: Path) -> dict[str, Any]:
    """What the run's own records say."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    updates = [line for line in lines if "grad_norm" in line]
    config = json.loads((directory / "config.json").read_text())
    result = json.loads((directory / "result.json").read_text())
    return {
        "max_grad_norm": config["asked"]["training"]["max_grad_norm"],
        "grad_norms": [round(line["grad_norm"], 4) for line in updates],
        "losses": [round(line["loss"], 4) for line in updates],
        "valid_losses": {
            line["step"]: round(line["valid_loss"], 4) for line in lines if "valid_loss" in line
        },
        "source_entropy": round(config["source_entropy"], 4),
        "whole_valid_loss": round(result["valid_loss"], 4),
    }


def main() -> None:
    """Looks at the run, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    stories, new = (
        (arguments.data / name).read_text("utf-8").split(f"\n{END}\n")[:-1]
        for name in ("train.txt", "valid.txt")
    )
    runs = {step: load_run(arguments.run, torch.device("cpu"), step) for step in STEPS}
    origin = {
        "command": "uv run python docs/handbook/results/stories_run.py"
        " --run runs/handbook --data data/stories",
        "train_command": "OMP_NUM_THREADS=1 uv run train --out runs/handbook --precision fp32"
        " --compile off --log-every 1 --keep-checkpoints-every 370",
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    found = trained(arguments.run) | looked_at(runs, stories, new)
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in (origin | found).items()
    ]  # one for each of the result's parts: a change shows what it changed
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_suffix(".json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
