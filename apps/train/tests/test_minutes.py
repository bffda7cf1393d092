"""A run that is told its minutes: how many updates it makes of them."""

import json

from train import BEGUN
from trainkit import Pace


def steps_of(run):
    return json.loads((run / "result.json").read_text())["steps"]


def test_minutes_are_filled_with_updates_and_evaluations(call, tmp_path, tiny_flags, monkeypatch):
    """20 s were spent before; of the 40 that are left an evaluation takes 28, an update 1.

    The first rehearsal, of 5 updates, took them for 0.01 s: a fiftieth of the 1,200 are 24.
    """
    paces = {5: Pace(update=0.01, evaluation=28.0), 24: Pace(update=1.0, evaluation=28.0)}
    monkeypatch.setattr("train.set_up.rehearse", lambda *_, updates, **__: paces[updates])
    monkeypatch.setattr("time.perf_counter", lambda: BEGUN + 20.0)
    code, words = call("--out", "run", "--minutes", "1", *tiny_flags, "--eval-every", "2000")
    assert code == 0, words
    assert "updates 12 in 1 minutes" in words
    assert steps_of(tmp_path / "run") == 12


def test_no_time_is_still_an_update(call, tmp_path, tiny_flags):
    """And what a rehearsal has written is gone."""
    code, words = call("--out", "run", "--minutes", "1e-9", *tiny_flags)
    assert code == 0, words
    assert steps_of(tmp_path / "run") == 1
    assert not list((tmp_path / "run").glob("rehearsal-*"))
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == [
        "step-000001"
    ]
