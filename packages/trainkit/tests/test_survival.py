"""A run that is killed or stopped at any moment. Property: it ends as if it had not been.

In processes of their own, by real signals. The long versions, of 50 kills each, are behind the
marker `long`: `uv run pytest -m long packages/trainkit`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="each run is forked, and killed by POSIX's signals"
)

PROGRAM = Path(__file__).with_name("killed_runs.py")
SHORT = 6
LONG = pytest.param(50, marks=pytest.mark.long)


def disturb(directory, mode, count, *options):
    """Runs that take `options` in turns, disturbed `count` times; how often they were, really."""
    command = [sys.executable, PROGRAM, directory, mode, str(count), *map(json.dumps, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    disturbed, finished = map(int, done.stdout.split())
    assert disturbed >= count
    assert finished >= 1


@pytest.mark.parametrize("count", [SHORT, LONG])
@pytest.mark.parametrize("recipe", [{}, {"tales": True, "gradient_accumulation_steps": 4}])
def test_kills_change_nothing_whatever_the_number_of_workers(tmp_path, count, recipe):
    """AdamW on random windows; or Muon at three rates, in parts, on epochs of a mixture."""
    disturb(tmp_path, "kill", count, *({**recipe, "num_workers": each} for each in (0, 1, 4)))


@pytest.mark.long  # 1 to 3 minutes; test_anomaly.py has stops without a signal
@pytest.mark.parametrize("action", ["skip", "rollback"])
def test_kills_change_nothing_where_spikes_are_skipped_or_rolled_back(tmp_path, action):
    """On random data one loss of ten lies so far above those before."""
    spikes = {"on_anomaly": action, "spike_sigmas": 1.5, "spike_window": 6, "max_anomalies": 100}
    disturb(tmp_path, "kill", SHORT, {**spikes, "tales": True})
    assert list((tmp_path / "undisturbed" / "anomalies").iterdir())


@pytest.mark.parametrize("count", [SHORT, LONG])
def test_ctrl_c_and_sigterm_leave_a_checkpoint_of_their_step(tmp_path, count):
    disturb(tmp_path, "stop", count, {"num_workers": 1})


@pytest.mark.parametrize(
    ("place", "options"), [("sampling", {}), ("compiling", {"execution": {"compile": True}})]
)
def test_ctrl_c_and_sigterm_in_it_leave_a_checkpoint_of_that_very_step(tmp_path, place, options):
    disturb(tmp_path, place, 2, {"tales": True, **options})
