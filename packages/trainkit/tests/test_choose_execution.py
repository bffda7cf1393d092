"""The choice of precision and compiling. Table: what is asked for, what is left to measure."""

import pytest
import torch
from trainkit import (
    Batch,
    CompileReport,
    Execution,
    PrecisionReport,
    choose_execution,
    execution_choice,
    measure_parts,
    parts,
)


@pytest.fixture
def batch() -> Batch:
    token_ids = torch.randint(17, (2, 8), generator=torch.Generator().manual_seed(0))
    return Batch(token_ids, token_ids, torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2]] * 2))


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """What is asked of the two measurements, which find bf16 and compiling best."""
    calls: list[str] = []

    def precision(model, inputs, targets, *, document_ids):
        calls.append(f"precision, documents {document_ids[0, -1]}")
        return PrecisionReport("bf16", {}, {}, {})

    def compiled(model, inputs, targets, *, document_ids, precision, passes, planned_seconds):
        planned = passes if planned_seconds is None else f"{planned_seconds} s"
        calls.append(f"compile in {precision} for {planned}, documents {document_ids[0, -1]}")
        return CompileReport(300, 1.0, 0.1, 10.0)

    monkeypatch.setattr(execution_choice, "measure_precision", precision)
    monkeypatch.setattr(execution_choice, "measure_compile", compiled)
    return calls


def test_what_is_not_asked_for_is_measured(make_model, batch, measured):
    choice = choose_execution(make_model(), batch, passes=300, peak_flops=1e12)
    assert choice.execution == Execution("cpu", "bf16", True, 1e12)
    assert measured == ["precision, documents 2", "compile in bf16 for 300, documents 2"]
    assert choice.summary.startswith("cpu: precision bf16")
    assert "; compiled (100 against 1e+03 ms a pass" in choice.summary


def test_a_time_may_be_planned_instead_of_passes(make_model, batch, measured):
    choose_execution(make_model(), batch, planned_seconds=60.0)
    assert measured[1] == "compile in bf16 for 60.0 s, documents 2"


@pytest.mark.parametrize("compile", [True, False])
def test_what_is_asked_for_is_taken(make_model, batch, measured, compile):
    choice = choose_execution(make_model(), batch, passes=1, precision="fp32", compile=compile)
    assert choice.execution == Execution("cpu", "fp32", compile)
    assert measured == []
    assert choice.summary.count("(as asked)") == 2


class OnSecondGPU(torch.Tensor):
    """A tensor that says so, whatever this machine has."""

    device = torch.device("cuda:1")


def test_the_kind_of_device_is_chosen_not_one_of_them(make_model, batch):
    """The choice is made for all ranks, each with a GPU of its own."""
    there = batch._replace(inputs=batch.inputs.as_subclass(OnSecondGPU))
    choice = choose_execution(make_model(), there, passes=1, precision="fp32", compile=False)
    assert choice.execution.device == "cuda"
    assert choice.summary.startswith("cuda:1: ")


@pytest.fixture
def large_batch(monkeypatch, batch) -> Batch:
    """Four rows, of which a part has two, as if they were large."""
    monkeypatch.setattr(parts, "_TOKENS", 16)
    return Batch(*(torch.cat([each, each]) for each in batch[:3]))


@pytest.mark.parametrize(("part_seconds", "at_once", "passes"), [(1.0, 2, 600), (1.1, None, 300)])
def test_a_large_batch_is_computed_in_parts_unless_that_is_slower(
    make_model, large_batch, measured, monkeypatch, part_seconds, at_once, passes
):
    each = iter([9.0, 9.0] + [2 * part_seconds, 4.0] * 3)  # of a part of two, then of all four
    monkeypatch.setattr(parts, "seconds_of", lambda *_: next(each))
    choice = choose_execution(make_model(), large_batch, passes=300)
    assert choice.execution == Execution("cpu", "bf16", True, sequences_at_once=at_once)
    assert measured[-1].startswith(f"compile in bf16 for {passes},")
    assert f"{at_once or 4} sequences at once (each, of 2:" in choice.summary


@pytest.mark.parametrize(("asked", "at_once"), [(1, 1), (3, 3), (4, None), (100, None)])
def test_as_many_sequences_at_once_as_asked(make_model, large_batch, measured, asked, at_once):
    choice = choose_execution(make_model(), large_batch, passes=1, sequences_at_once=asked)
    assert choice.execution.sequences_at_once == at_once


@pytest.mark.parametrize("wrong", [0, -1])
def test_no_sequences_at_once_are_refused(make_model, batch, wrong):
    with pytest.raises(ValueError, match="sequences_at_once must be at least 1"):
        choose_execution(make_model(), batch, passes=1, sequences_at_once=wrong)
    with pytest.raises(ValueError, match="sequences_at_once must be at least 1"):
        Execution(sequences_at_once=wrong)


@pytest.mark.parametrize(
    ("shape", "size"), [((32, 256), 8), ((4, 256), 4), ((6, 512), 3), ((7, 512), 1), ((2, 4096), 2)]
)
def test_parts_are_alike_and_no_larger_than_2048_tokens_where_that_can_be(shape, size):
    token_ids = torch.zeros(shape, dtype=torch.long)
    assert parts.part_size(Batch(token_ids, token_ids)) == size


def test_parts_that_are_measured_leave_no_trace(make_model, large_batch):
    model, state = make_model(dropout=0.1), torch.get_rng_state()
    report = measure_parts(model, large_batch, "fp32")
    assert report.choice in (2, 4)
    assert set(report.seconds) == {2, 4}
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_measuring_touches_neither_gradients_nor_the_random_state(make_model, batch):
    model, state = make_model(dropout=0.1), torch.get_rng_state()
    choose_execution(model, batch, passes=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
