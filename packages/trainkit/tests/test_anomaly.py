"""Anomalies. Table: what is one. Property: a run with them, stopped and resumed, is the same run.

The model gives NaN or a greater loss for the batches that it is told to, by what they hold: so it
does the same in a rerun, and no longer once a batch is passed over.
"""

import json
import math
from itertools import pairwise

import pytest
import torch
from nnparts import TransformerConfig
from torch import nn
from trainkit import AnomalyError, TrainConfig
from trainkit.anomaly import AnomalyWatch, find_anomaly
from trainkit.progress import Progress
from trainkit.step import Slope

WINDOW = [1.0, 3.0, 1.0, 3.0]  # mean 2, standard deviation 1


@pytest.mark.parametrize(
    ("loss", "grad_norm", "recent", "sigmas", "problem"),
    [
        (2.0, 1.0, WINDOW, 3.0, None),
        (math.nan, 1.0, [], None, "the loss is nan and the gradient's norm 1.0"),
        (2.0, math.inf, WINDOW, 3.0, "the loss is 2.0 and the gradient's norm inf"),
        (5.0, 1.0, WINDOW, 3.0, None),
        (5.01, 1.0, WINDOW, 3.0, "the loss is 5.01, more than 3 standard deviations (1) above 2"),
        (5.01, 1.0, WINDOW, None, None),
        (-9.0, 1.0, WINDOW, 3.0, None),
    ],
)
def test_what_is_an_anomaly(loss, grad_norm, recent, sigmas, problem):
    found = find_anomaly(loss, grad_norm, recent, sigmas)
    assert found is None if problem is None else found.startswith(problem)


def test_nothing_is_a_spike_before_the_window_is_full(make_model, tmp_path):
    config = TrainConfig(spike_sigmas=1.0, spike_window=4)
    watch = AnomalyWatch(config, tmp_path)
    progress, norm = Progress(), torch.tensor(1.0)
    for loss in (1.0, 3.0, 1.0, 9.0):
        assert watch.judge(Slope(torch.tensor(loss), norm), progress) is None
    assert "loss is 9" in watch.judge(Slope(torch.tensor(9.0), norm), progress)
    assert watch.judge(Slope(torch.tensor(1.5), norm), progress) is None
    assert progress.recent_losses == [3.0, 1.0, 9.0, 1.5]


class Fragile(nn.Module):
    """Logits from embeddings; times `factor` for the batches in `bad`."""

    def __init__(self, bad, factor):
        super().__init__()
        self.config = TransformerConfig(17, 8, d_model=16, num_layers=1, num_heads=2)
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(17, 17, generator=generator))
        self.bad, self.factor = bad, factor

    def forward(self, token_ids):
        logits = self.table[token_ids]
        is_bad = any(torch.equal(token_ids, batch.inputs) for batch in self.bad)
        return logits * self.factor if is_bad and self.training else logits


@pytest.fixture
def fragile_trainer(tmp_path, make_trainer):
    """Makes trainers to whose model batches of certain numbers are bad."""

    def make(numbers, factor=math.nan, **changes):
        model = Fragile([], factor)
        trainer = make_trainer(tmp_path, model=model, **changes)
        model.bad = [trainer.train_data.batch(0, number, 4, 8, "cpu") for number in numbers]
        return trainer

    return make


def read_metrics(trainer):
    return [
        json.loads(line) for line in (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    ]


def read_anomaly(trainer, name):
    return json.loads((trainer.run_dir / "anomalies" / f"{name}.json").read_text())


def weights(trainer):
    return trainer.model.table.detach().clone()


def test_stop_says_where_and_keeps_what_can_be_studied(fragile_trainer):
    trainer = fragile_trainer([8], log_every=100)
    with pytest.raises(AnomalyError, match=r"at step 10 the loss is nan.*\.json; resume from step"):
        trainer.train()  # learnt at step 9, where nobody looks
    assert trainer.checkpoints.steps() == [5]
    record = read_anomaly(trainer, "step-000010")
    assert record["loss"] == record["gradient_norms"]["table"] == "nan"
    assert (record["step"], record["batch_number"], record["seed"]) == (10, 9, 0)


def test_a_run_that_reads_each_loss_stops_before_it_learns(fragile_trainer):
    trainer = fragile_trainer([8], spike_sigmas=100.0)
    with pytest.raises(AnomalyError, match=r"at step 9 the loss is nan"):
        trainer.train()
    assert trainer.step == 8
    assert weights(trainer).isfinite().all()
    batch = trainer.model.bad[0]
    assert read_anomaly(trainer, "step-000009")["batch"] == {
        "inputs": batch.inputs.tolist(),
        "targets": batch.targets.tolist(),
    }


def test_gradient_norms_are_kept_as_before_clipping(fragile_trainer):
    trainer = fragile_trainer([8], factor=1e3, spike_sigmas=10.0, spike_window=4)
    with pytest.raises(AnomalyError, match="more than 10 standard deviations"):
        trainer.train()
    record = read_anomaly(trainer, "step-000009")
    assert record["gradient_norms"]["table"] == pytest.approx(record["grad_norm"], rel=1e-5)
    assert record["grad_norm"] > 100 > trainer.config.max_grad_norm
    assert len(record["recent_losses"]) == 4


@pytest.mark.parametrize("factor", [math.nan, 1e3])
def test_a_skipped_step_leaves_weights_and_optimizer_untouched(fragile_trainer, factor):
    options = {"on_anomaly": "skip", "spike_sigmas": 10.0, "spike_window": 4}
    trainer = fragile_trainer([8], factor, **options)
    seen = []

    def note(*_):
        seen.append((trainer.step, weights(trainer)))

    trainer.optimizer.register_step_pre_hook(note)
    with pytest.warns(RuntimeWarning, match="at step 9 the loss is .*: skip"):
        trainer.train()
    assert [step for step, _ in seen] == [step for step in range(20) if step != 8]
    assert trainer.optimizer.state[trainer.model.table]["step"] == 19
    assert trainer.progress.skipped_steps == 1
    assert trainer.tokens == 19 * 4 * 8
    assert 9 not in [line["step"] for line in read_metrics(trainer)]
    assert all(not torch.equal(first, then) for (_, first), (_, then) in pairwise(seen))


def test_skipping_has_an_end(fragile_trainer):
    trainer = fragile_trainer(range(8, 20), on_anomaly="skip", max_anomalies=3)
    with pytest.warns(RuntimeWarning), pytest.raises(AnomalyError, match="at step 12 "):
        trainer.train()
    assert trainer.step == 11


@pytest.mark.parametrize("workers", [0, 1])
def test_a_rollback_learns_from_all_but_the_batches_since_the_checkpoint(fragile_trainer, workers):
    trainer = fragile_trainer([7], on_anomaly="rollback", num_workers=workers)
    learnt = []
    backward = trainer._stepper.backward

    def note(batch, number):
        learnt.append(number)
        return backward(batch, number)

    trainer._stepper.backward = note
    with pytest.warns(RuntimeWarning, match="at step 8 the loss is nan.*: rollback"):
        trainer.train()
    assert learnt == [*range(8), 7, *range(8, 23)]  # 7 again for its norms; 5 and 6 are lost
    assert (trainer.step, trainer.progress.passed_over, trainer.progress.rollbacks) == (20, 3, 1)
    steps = [line["step"] for line in read_metrics(trainer)]
    assert steps == sorted(steps)
    assert (trainer.run_dir / "anomalies" / "step-000008.json").exists()


def test_a_rollback_before_the_first_checkpoint_begins_anew(fragile_trainer):
    trainer = fragile_trainer([2], on_anomaly="rollback")
    before = weights(trainer)
    seen = []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: seen.append((trainer.step, weights(trainer)))
    )
    with pytest.warns(RuntimeWarning, match="rollback"):
        trainer.train()
    assert [step for step, _ in seen] == [0, 1, *range(20)]
    assert torch.equal(seen[2][1], before)
    assert trainer.progress.passed_over == 3


def test_rollbacks_have_an_end(fragile_trainer):
    trainer = fragile_trainer(range(7, 99), on_anomaly="rollback", max_anomalies=2)
    with pytest.warns(RuntimeWarning), pytest.raises(AnomalyError, match="at step 6 "):
        trainer.train()
    assert trainer.progress.rollbacks == 2
    names = sorted(path.name for path in (trainer.run_dir / "anomalies").iterdir())
    assert names == [
        "step-000006-batch-000008.json",
        "step-000006-batch-000009.json",
        "step-000008.json",
    ]


@pytest.mark.filterwarnings("ignore:at step:RuntimeWarning")
@pytest.mark.parametrize("action", ["skip", "rollback"])
@pytest.mark.parametrize("stops", [(9,), (7, 9, 12, 18)])
def test_resumed_equals_never_stopped_with_anomalies_too(fragile_trainer, action, stops, stop_at):
    """Spikes are judged by losses from before the stop, and batches counted from there."""
    options = {
        "on_anomaly": action,
        "factor": 1e3,
        "spike_sigmas": 10.0,
        "spike_window": 4,
        "log_every": 1,
        "ema_decay": 0.9,
    }
    undisturbed = fragile_trainer([7, 8, 13], run="undisturbed", **options)
    undisturbed.train()
    assert undisturbed.progress.skipped_steps + undisturbed.progress.rollbacks == 3
    for stop in stops:
        trainer = fragile_trainer([7, 8, 13], loggers=(stop_at(stop),), **options)
        trainer.resume()
        with pytest.raises(SystemExit):
            trainer.train()
    trainer = fragile_trainer([7, 8, 13], **options)
    assert trainer.resume() > 0
    trainer.train()
    assert trainer.progress == undisturbed.progress
    assert torch.equal(weights(trainer), weights(undisturbed))
    assert torch.equal(trainer.average.model.table, undisturbed.average.model.table)
    times = {"tokens_per_second", "data_wait_share", "peak_memory_bytes", "wall_seconds"}
    ours, theirs = (
        [{key: line[key] for key in line.keys() - times} for line in read_metrics(each)]
        for each in (trainer, undisturbed)
    )
    assert ours == theirs
