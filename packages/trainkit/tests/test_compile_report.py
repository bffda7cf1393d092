"""Whether compiling pays. Table: measured times and the choice they lead to."""

import pytest
import torch
from trainkit import CompileReport, measure_compile
from trainkit import measuring as module


@pytest.mark.parametrize(
    ("compiled_seconds", "compile_seconds", "passes", "pays"),
    [
        (0.5, 40.0, 100, True),
        (0.5, 50.0, 100, False),
        (0.5, 60.0, 100, False),
        (1.1, 0.0, 9, False),
    ],
)
def test_compiling_pays_where_all_passes_end_sooner(
    compiled_seconds, compile_seconds, passes, pays
):
    report = CompileReport(passes, 1.0, compiled_seconds, compile_seconds)
    assert report.pays is pays
    assert ("not compiled" in report.summary()) is not pays


def test_a_short_run_is_not_compiled(make_model, monkeypatch):
    def forbidden(*_):
        raise AssertionError("compiled")

    monkeypatch.setattr(torch, "compile", forbidden)
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_compile(make_model(), token_ids, token_ids, precision="fp32", passes=1)
    assert not report.pays
    assert "too few" in report.summary()


def test_passes_fill_the_time_that_is_planned(make_model, monkeypatch):
    monkeypatch.setattr(module, "seconds_of", lambda *_: 0.5)
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_compile(
        make_model(), token_ids, token_ids, precision="fp32", planned_seconds=100.0
    )
    assert report.passes == 200


@pytest.mark.parametrize("planned", [{}, {"passes": 1, "planned_seconds": 1.0}])
def test_what_is_planned_is_told_in_one_way(make_model, planned):
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"passes or by planned_seconds, one of them"):
        measure_compile(make_model(), token_ids, token_ids, precision="fp32", **planned)


def test_a_machine_that_cannot_compile_trains_all_the_same(make_model, monkeypatch):
    def broken(loss):
        def call(*_, **__):
            raise RuntimeError("no C++ compiler\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_compile(
        make_model(), token_ids, token_ids, precision="fp32", passes=10**9, rounds=1
    )
    assert not report.pays
    assert "compiling failed: no C++ compiler)" in report.summary()


def test_what_is_faster_is_measured(make_model, monkeypatch):
    losses = []

    def seconds(precision, work, device):
        work()
        return {"eager": 1.0, "compiled": 0.25 if len(losses) > 4 else 30.0}[losses[-1]]

    def note(name, loss):
        def call(*arguments, **options):
            losses.append(name)
            return loss(*arguments, **options)

        return call

    original = module.batch_loss
    monkeypatch.setattr(module, "batch_loss", note("eager", original))
    monkeypatch.setattr(torch, "compile", lambda _: note("compiled", original))
    monkeypatch.setattr(module, "seconds_of", seconds)
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_compile(
        make_model(), token_ids, token_ids, precision="fp32", passes=200, rounds=2
    )
    assert losses == ["eager"] * 3 + ["compiled"] * 3
    assert (report.eager_seconds, report.compiled_seconds) == (1.0, 0.25)
    assert report.compile_seconds == 29.75
    assert report.pays
