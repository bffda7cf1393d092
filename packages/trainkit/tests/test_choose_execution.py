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


def test_measuring_touches_neither_gradients_nor_the_random_state(make_model, batch):
    model, state = make_model(dropout=0.1), torch.get_rng_state()
    choose_execution(model, batch, passes=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
