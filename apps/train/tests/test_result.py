"""What a run says of itself. Golden: the sentences, computed by hand."""

from pathlib import Path

from train.result import RunResult


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
