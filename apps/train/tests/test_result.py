"""What a run says of itself. Golden: the sentences, computed by hand."""

import json
import math
from pathlib import Path

from train.curve import draw_curve
from train.result import RunResult, write_result
from train.sweep.run import _sentence
from train.sweep.table import outcome_table, read_outcome


def result(**changes) -> RunResult:
    fields = {"directory": Path("run"), "steps": 1, "tokens": 2, "valid_tokens": 3}
    losses = {"valid_loss": 0.55, "valid_bits_per_byte": 0.22, "source_entropy": 0.5}
    return RunResult(**(fields | losses | changes))


def test_the_gap_is_what_the_loss_has_above_the_entropy():
    loss, entropy, gap = result().sentences()
    assert loss == "validation loss 0.5500 nats a token, 0.2200 bits a byte"
    assert entropy.startswith("the source's entropy is 0.5000 nats a token, 0.2000 bits a byte")
    assert gap == "the gap is 0.0500 nats a token, 0.0200 bits a byte: 10.0% of the entropy"


def test_a_text_of_unknown_source_has_a_loss_alone():
    assert result(source_entropy=None).sentences() == [
        "validation loss 0.5500 nats a token, 0.2200 bits a byte"
    ]
    assert result(source_entropy=None, valid_bits_per_byte=None).sentences() == [
        "validation loss 0.5500 nats a token"
    ]


def no_number(word):
    raise ValueError(f"{word} is not JSON")


def test_a_loss_that_is_no_number_is_null_in_the_files_and_told_by_who_reads_them(tmp_path):
    write_result(result(directory=tmp_path, valid_loss=math.nan, valid_bits_per_byte=math.inf))
    text = (tmp_path / "result.json").read_text()
    read = json.loads(text, parse_constant=no_number)
    assert (read["valid_loss"], read["valid_bits_per_byte"], read["steps"]) == (None, None, 1)
    lines = [
        {"step": 1, "loss": 2.0, "wall_seconds": 1.0},
        {"step": 2, "loss": None, "wall_seconds": 2.0},
        {"step": 2, "valid_loss": None, "wall_seconds": 3.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_curve(tmp_path)
    assert (tmp_path / "loss.png").stat().st_size > 0
    row = read_outcome(tmp_path, "train")
    assert (row.state, row.steps, row.best_valid_loss) == ("finished", 2, None)
    assert _sentence(row) == "validation loss not finite after 2 steps"
    assert outcome_table([row]).row_count == 1
