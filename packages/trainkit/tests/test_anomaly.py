"""Anomalies. Table: what is one. Property: a run with them, stopped and resumed, is the same run.

The model gives NaN or a greater loss for the batches that it is told to, by what they hold: so it
does the same in a rerun, and no longer once a batch is passed over.
"""

import json
import math
import signal
from itertools import pairwise

import pytest
import torch
from nnparts import TransformerConfig
from torch import nn
from trainkit import AnomalyError, TrainConfig
from trainkit.anomaly import AnomalyWatch, find_anomaly
from trainkit.first_bad_step import FirstBadStep
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
    progress = Progress()
    for loss in (1.0, 3.0, 1.0, 9.0):
        assert watch.judge(make_slope(loss), progress) is None
    assert "loss is 9" in watch.judge(make_slope(9.0), progress)
    assert watch.judge(make_slope(1.5), progress) is None
    assert progress.recent_losses == [3.0, 1.0, 9.0, 1.5]


def make_slope(loss, *row_norms, device="cpu"):
    rows = torch.tensor(row_norms or (1.0,), device=device)
    return Slope(torch.tensor(loss, device=device), rows.norm(), rows)


def test_the_first_bad_step_is_kept_whatever_comes_after():
    watch = FirstBadStep()
    assert watch.read() is None
    watch.note(make_slope(2.0, 3.0, 4.0), 6)
    assert watch.read() is None
    watch.note(make_slope(2.5, 3.0, math.inf), 7)
    watch.note(make_slope(math.nan, math.nan, math.nan), 8)
    watch.note(make_slope(1.0, 1.0, 1.0), 9)
    number, slope = watch.read()
    assert (number, slope.loss.item(), slope.row_norms.tolist()) == (7, 2.5, [3.0, math.inf])
    watch.forget()
    watch.note(make_slope(math.nan, 1.0), 12)
    assert watch.read()[0] == 12


def test_a_loss_that_one_rank_has_for_itself_makes_no_step_bad():
    watch = FirstBadStep(judges_loss=False)
    watch.note(make_slope(math.nan, 1.0), 6)
    assert watch.read() is None
    watch.note(make_slope(1.0, math.nan), 7)
    assert watch.read()[0] == 7


def test_to_note_a_step_waits_for_nothing():
    """On torch's "meta" device, which has no numbers to give: whoever asks for one fails."""
    watch = FirstBadStep()
    for number in range(3):
        watch.note(make_slope(1.0, 1.0, 2.0, device="meta"), number)
    with pytest.raises(RuntimeError, match="meta"):
        watch.read()


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


def spoil(trainer, name, value, *, row=0, batch_number):
    """Let one number of one weight's gradient be `value` for one batch."""

    def spoilt(grad):
        if trainer.progress.batch_number == batch_number:
            grad = grad.clone()
            grad[row, 0] = value
        return grad

    return dict(trainer.model.named_parameters())[name].register_hook(spoilt)


def test_stop_says_where_it_began_and_keeps_that_batch(fragile_trainer):
    trainer = fragile_trainer([8], log_every=100)
    with pytest.raises(
        AnomalyError, match=r"at step 9 the loss is nan.*\.json; resume from step 5"
    ):
        trainer.train()  # learnt at step 9, where nobody looks
    assert trainer.step == 10
    assert trainer.checkpoints.steps() == [5]
    record = read_anomaly(trainer, "step-000009")
    assert record["loss"] == record["gradient_norms"]["table"] == "nan"
    assert (record["step"], record["batch_number"], record["seed"]) == (9, 8, 0)
    assert record["batch"]["inputs"] == trainer.model.bad[0].inputs.tolist()
    assert len(list((trainer.run_dir / "anomalies").iterdir())) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("changes", "seen_at"), [({"log_every": 4}, 8), ({"log_every": 100}, 10)])
def test_the_gradient_that_went_wrong_is_told_from_those_that_did_not(
    tmp_path, make_trainer, bad, changes, seen_at
):
    """Of many weights, and found some updates later: their gradients are long NaN, all of them."""
    trainer, expected = make_trainer(tmp_path, **changes), {}
    spoil(trainer, "layers.0.ffn.w2.weight", bad, batch_number=5)
    backward = trainer._stepper.backward

    def note(batch, number):
        loss = backward(batch, number)
        if number == 5:
            named = trainer.model.named_parameters()
            expected.update({name: weight.grad.norm().item() for name, weight in named})
        return loss

    trainer._stepper.backward = note
    with pytest.raises(AnomalyError, match=rf"at step 6 the loss is [0-9.]+ .* norm {bad};"):
        trainer.train()
    assert trainer.step == seen_at
    record = read_anomaly(trainer, "step-000006")
    norms = record["gradient_norms"]
    assert norms.pop("layers.0.ffn.w2.weight") == record["grad_norm"] == str(bad)
    assert not math.isfinite(expected.pop("layers.0.ffn.w2.weight"))
    assert len(norms) == len(list(trainer.model.parameters())) - 1
    assert norms == pytest.approx(expected, rel=1e-5)
    batch = trainer.train_data.batch(0, 5, 4, 8, "cpu")
    assert record["batch"]["inputs"] == batch.inputs.tolist()
    assert record["loss"] == pytest.approx(2.8, abs=0.5)  # of 17 classes, nothing learnt yet


def test_a_bad_update_that_no_later_loss_shows_is_found(tmp_path, make_trainer, make_model):
    """Of a token that never comes: only its embedding is spoilt, and no loss depends on that."""
    trainer = make_trainer(tmp_path, model=make_model(vocab_size=18), log_every=100)
    spoil(trainer, "token_embeddings.weight", math.inf, row=17, batch_number=6)
    with pytest.raises(AnomalyError, match=r"at step 7 the loss is [0-9.]+ and the .* norm inf"):
        trainer.train()
    assert trainer.checkpoints.steps() == [5]
    assert trainer.model.token_embeddings.weight[:17].isfinite().all()


def test_a_run_that_is_stopped_after_a_bad_update_saves_nothing_of_it(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=100)
    spoil(trainer, "lm_head.weight", math.nan, batch_number=6)

    def interrupt(*_):
        if trainer.step == 7:
            signal.raise_signal(signal.SIGINT)

    trainer.optimizer.register_step_pre_hook(interrupt)
    # Both, for a KeyboardInterrupt that nobody expects ends pytest itself.
    with pytest.raises((AnomalyError, KeyboardInterrupt), match="at step 7 "):
        trainer.train()
    assert trainer.step == 8
    assert trainer.checkpoints.steps() == [5]


def test_what_was_noted_before_a_resume_is_forgotten(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=100)
    spoilt = spoil(trainer, "lm_head.weight", math.nan, batch_number=6)

    def fail(*_):
        if trainer.step == 7:
            raise OSError("the disk went away")

    failing = trainer.optimizer.register_step_pre_hook(fail)
    with pytest.raises(OSError, match="went away"):
        trainer.train()
    for hook in (spoilt, failing):
        hook.remove()
    assert trainer.resume() == 5
    trainer.train()
    assert trainer.step == 20


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


MIXED_EPOCHS = {"order": "epoch", "mixed": True}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("data", [{}, MIXED_EPOCHS])
def test_a_rollback_learns_from_all_but_the_batches_since_the_checkpoint(
    fragile_trainer, workers, data
):
    trainer = fragile_trainer([7], on_anomaly="rollback", num_workers=workers, **data)
    learnt = []
    backward = trainer._stepper.backward

    def note(batch, number):
        learnt.append(number)
        expected = trainer.train_data.batch(0, number, 4, 8, "cpu")
        assert torch.equal(batch.inputs, expected.inputs)
        return backward(batch, number)

    trainer._stepper.backward = note
    with pytest.warns(RuntimeWarning, match="at step 8 the loss is nan.*: rollback"):
        trainer.train()
    assert learnt == [*range(8), *range(8, 23)]  # 5 and 6 are lost
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


def test_a_rollback_falls_back_where_resuming_did(fragile_trainer, stop_at):
    with pytest.raises(SystemExit):
        fragile_trainer([], loggers=(stop_at(12),)).train()
    trainer = fragile_trainer([6], on_anomaly="rollback")
    (trainer.checkpoints.directory / "step-000010" / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="going back to step 5"):
        assert trainer.resume(fall_back=True) == 5
    with (
        pytest.warns(RuntimeWarning, match="at step 7 the loss is nan.*: rollback"),
        pytest.warns(UserWarning, match="going back to step 5"),
    ):
        trainer.train()
    assert (trainer.step, trainer.progress.rollbacks) == (20, 1)


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
@pytest.mark.parametrize(
    ("action", "data"), [("skip", {}), ("rollback", {}), ("rollback", MIXED_EPOCHS)]
)
@pytest.mark.parametrize("stops", [(9,), (7, 9, 12, 18)])
def test_resumed_equals_never_stopped_with_anomalies_too(
    fragile_trainer, action, data, stops, stop_at
):
    """Spikes are judged by losses from before the stop, and batches counted from there."""
    options = {
        "on_anomaly": action,
        "factor": 1e3,
        "spike_sigmas": 10.0,
        "spike_window": 4,
        "log_every": 1,
        "ema_decay": 0.9,
        **data,
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
