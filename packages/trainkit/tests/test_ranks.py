"""Runs of several ranks, in processes of their own (gloo, a thread each).

Parity: 2 and 4 ranks with one, each with the whole model or with its part of it (FSDP). Property: a
rank killed and the run resumed is the run that never stopped, bit for bit. Table: what is refused.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from trainkit import FirstRankFailedError, Ranks
from trainkit.checkpoint_files import has_file, read_file

PROGRAM = Path(__file__).with_name("ranked_runs.py")
TIMES = {"wall_seconds", "tokens_per_second", "data_wait_share", "peak_memory_bytes"}
SIGINT, SIGKILL, SIGTERM = 2, 9, 15

# In fp64 what the order of a sum changes is 1e-16 of it; 20 updates were seen to make 2e-16 of it.
# A wrong weight of a micro batch or a wrong row makes 1e-3.
ROUNDING_64 = 1e-13
# The loss of a step is added up in fp32, whose numbers lie 2^-23 of themselves apart at most.
ROUNDING_LOSS = 2 * 2**-23
# In fp32 the weights differ as well: 1.6e-7 was seen of losses and norms in 20 updates.
ROUNDING_32 = 2e-6
# A product in fp16 has 11 significant bits; parts of another size are multiplied otherwise.
ROUNDING_16 = 5e-3

FP64 = {"making": {"dtype": "float64"}}
MUON = {**FP64, "optimizer": "muon", "gradient_accumulation_steps": 2, "ema_decay": 0.9}
SPIKES = {**FP64, "spike_sigmas": 1.5, "spike_window": 6, "max_anomalies": 100}
ROLLBACK, SKIP = {**SPIKES, "on_anomaly": "rollback"}, {**SPIKES, "on_anomaly": "skip"}
# Five rows leave the last of four ranks without a part; of a tied table there is one weight.
ODD = {"dtype": "float64", "shape": {"d_ff": 5, "num_layers": 2, "tied_embeddings": True}}
RECOMPUTED = {**ODD, "checkpoints": True}  # which changes no bit
ALL_SHAPES = {"making": ODD, "gradient_accumulation_steps": 2}
SPOILT = {**FP64, "spoilt": ["layers.0.ffn.w2.weight", 6], "log_every": 100}
FP16 = {"execution": {"precision": "fp16"}, "gradient_accumulation_steps": 2}
FULL = {**FP64, "keep_checkpoints": 9, "on_disk_full": "continue"}
STALE = {"patience": 1, "max_lr": 0.0, "min_lr": 0.0}


def divided(options):
    return {**options, "making": {**options.get("making", {}), "fsdp": True}}


RUNS = [
    *({"size": size, "name": f"fp32-{size}"} for size in (1, 2, 4)),
    *({"size": size, "name": f"fp64-{size}", **FP64} for size in (1, 2, 4)),
    *({"size": size, "name": f"muon-{size}", **MUON} for size in (1, 2)),
    *({"size": size, "name": f"rollback-{size}", **ROLLBACK} for size in (1, 2)),
    *({"size": size, "name": f"skip-{size}", **SKIP} for size in (1, 2)),
    *({"size": size, "name": f"odd-{size}", **ALL_SHAPES} for size in (1, 2, 4)),
    *({"size": size, "name": f"fp16-{size}", **FP16} for size in (1, 2)),
    {"size": 2, "name": "fsdp-fp16-2", **divided(FP16)},
    *({"size": size, "name": f"spoilt-{size}", **SPOILT} for size in (1, 2)),
    {"size": 2, "name": "fsdp-spoilt-2", **divided(SPOILT)},
    {"size": 2, "name": "fsdp-fp64-2", **divided(FP64)},
    {"size": 2, "name": "fsdp-muon-2", **divided(MUON)},
    {"size": 2, "name": "fsdp-rollback-2", **divided(ROLLBACK)},
    {"size": 2, "name": "fsdp-skip-2", **divided(SKIP)},
    {"size": 2, "name": "fsdp-odd-2", **divided({**ALL_SHAPES, "making": RECOMPUTED})},
    {"size": 4, "name": "fsdp-odd-4", **divided(ALL_SHAPES)},
    {"size": 4, "name": "fsdp-fp64-4", **divided(FP64)},
    {"size": 4, "name": "fsdp-killed", **divided(FP64), "signal": [SIGKILL, 2, 13]},
    {"size": 4, "name": "fsdp-killed", **divided(FP64)},
    {"size": 4, "name": "fsdp-shrinking", **divided(MUON), "signal": [SIGTERM, 3, 6]},
    {"size": 2, "name": "fsdp-shrinking", **divided(MUON), "signal": [SIGINT, 1, 12]},
    {"size": 1, "name": "fsdp-shrinking", **MUON, "signal": [SIGINT, 0, 16]},
    {"size": 2, "name": "fsdp-shrinking", **divided(MUON)},
    {"size": 2, "name": "full", **divided(FULL), "full": [1, 2]},
    {"size": 2, "name": "stale", **STALE},
    {"size": 4, "name": "killed", "signal": [SIGKILL, 2, 13]},
    {"size": 4, "name": "killed"},
    {"size": 4, "name": "shrinking", **FP64, "signal": [SIGTERM, 3, 6]},
    {"size": 2, "name": "shrinking", **FP64, "signal": [SIGINT, 1, 12]},
    {"size": 1, "name": "shrinking", **FP64},
    *({"size": size, "name": f"ragged-{size}", "target_counts": [8, 3, 1, 0]} for size in (1, 2)),
    {"size": 2, "name": "fsdp-ragged-2", "target_counts": [8, 3, 1, 0], **divided({})},
    {"size": 3, "name": "three"},
    {"size": 2, "name": "skewed", "skews": True},
]


class Done(NamedTuple):
    directory: Path
    codes: dict[str, list[list[int]]]
    errors: str


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All runs, one after another: torch is imported once, which takes as long as all of them."""
    if not hasattr(os, "fork"):
        pytest.skip("the ranks are forked, which this system does not do")
    directory = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, PROGRAM, directory, json.dumps(RUNS)]
    program = subprocess.run(command, capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stderr
    codes: dict[str, list[list[int]]] = {}
    for run, of_ranks in zip(RUNS, json.loads(program.stdout), strict=True):
        codes.setdefault(run["name"], []).append(of_ranks)
    return Done(directory, codes, program.stderr)


def metrics(directory):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if key not in TIMES} for line in lines]


def tensors(directory, step=20):
    """By their names, whole, whether one rank wrote them or each its part."""
    place = directory / "checkpoints" / f"step-{step:06d}"
    names = [name for name in ("model", "optimizer", "ema") if has_file(place, name)]
    found = {name: read_file(place, name, lambda _: None)[0] for name in names}
    return {f"{name}/{key}": each for name in names for key, each in found[name].items()}


def assert_one_curve(ours, theirs, bound, loss_bound):
    """Every number within a share of itself; steps, tokens and rates exactly."""
    ours, theirs = metrics(ours), metrics(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.keys() == their.keys()
        for name, value in their.items():
            share = {"step": 0, "tokens": 0, "lr": 0, "loss": loss_bound}.get(name, bound)
            assert our[name] == pytest.approx(value, rel=share, abs=0), (name, our, their)


@pytest.mark.parametrize("size", [2, 4])
def test_more_ranks_follow_the_curve_of_one_but_for_rounding(done, size):
    root = done.directory
    for name in ("fp64", "fp32", "fsdp-fp64"):
        assert done.codes[f"{name}-{size}"] == [[0] * size]
    assert_one_curve(root / f"fsdp-fp64-{size}", root / "fp64-1", ROUNDING_64, ROUNDING_LOSS)
    assert_one_curve(root / f"fp64-{size}", root / "fp64-1", ROUNDING_64, ROUNDING_LOSS)
    assert_one_curve(root / f"fp32-{size}", root / "fp32-1", ROUNDING_32, ROUNDING_32)


@pytest.mark.parametrize("name", ["muon", "rollback", "skip", "odd"])
@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_two_ranks_do_what_one_does_with_every_option(done, way, name):
    """Muon, micro batches and averaged weights; anomalies, of which both must think alike."""
    root = done.directory
    assert done.codes[f"{way}{name}-2"] == [[0, 0]], done.errors
    assert_one_curve(root / f"{way}{name}-2", root / f"{name}-1", ROUNDING_64, ROUNDING_LOSS)


@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_in_fp16_too_and_the_loss_is_scaled_alike(done, way):
    root = done.directory
    assert done.codes[f"{way}fp16-2"] == [[0, 0]], done.errors
    assert_one_curve(root / f"{way}fp16-2", root / "fp16-1", ROUNDING_16, ROUNDING_16)
    scales = [
        json.loads((root / run / "checkpoints/step-000020/state.json").read_text())["extra"]
        for run in (f"{way}fp16-2", "fp16-1")
    ]
    assert scales[0]["loss_scale"] == scales[1]["loss_scale"]
    assert scales[0]["skipped_steps"] == scales[1]["skipped_steps"]


@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_targets_count_alike_on_all_ranks_even_where_one_has_none_in_its_last_rows(done, way):
    alone, ranked = (
        json.loads((done.directory / f"{name}.json").read_text())
        for name in ("ragged-1", f"{way}ragged-2")
    )
    assert ranked.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(torch.tensor(ranked[name]), torch.tensor(value))


@pytest.mark.parametrize("name", ["fp64-2", "fp64-4", "muon-2", "rollback-2", "odd-2", "odd-4"])
@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_weights_and_optimizer_state_are_those_of_one_process(done, way, name):
    ours, theirs = (tensors(done.directory / run) for run in (way + name, f"{name[:-2]}-1"))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        # fp32 remainders and moments round once an update.
        bound = 1e-12 if value.dtype == torch.float64 else 1e-5
        torch.testing.assert_close(ours[key], value, rtol=bound, atol=bound)


@pytest.mark.parametrize("name", ["fp64-4", "odd-4", "odd-2"])
def test_each_rank_writes_its_part_of_a_divided_model(done, name):
    size = int(name[-1])
    checkpoint = done.directory / f"fsdp-{name}" / "checkpoints" / "step-000020"
    whole = sum(each.nbytes for each in tensors(done.directory / f"fsdp-{name}").values())
    parts = [load_file(path) for path in checkpoint.glob("*.safetensors")]
    sizes = [sum(tensor.nbytes for tensor in part.values()) for part in parts]
    assert len(parts) == size
    assert sum(sizes) == whole
    assert max(sizes) < 1.5 * whole / size  # rows do not come out even
    assert not list(checkpoint.glob("*.distcp"))  # torch's pickles


@pytest.mark.parametrize("name", ["rollback", "skip"])
@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_an_anomaly_is_recorded_once_with_the_whole_batch(done, way, name):
    alone, ranked = (done.directory / run / "anomalies" for run in (f"{name}-1", f"{way}{name}-2"))
    names = sorted(path.name for path in alone.iterdir())
    assert names
    assert sorted(path.name for path in ranked.iterdir()) == names
    for each in names:
        ours, theirs = (json.loads((where / each).read_text()) for where in (ranked, alone))
        assert ours["batch"] == theirs["batch"]
        assert ours["gradient_norms"] == pytest.approx(theirs["gradient_norms"], rel=1e-6)


@pytest.mark.parametrize("way", ["", "fsdp-"])
def test_the_first_bad_update_is_found_by_all_with_the_gradient_that_went_wrong(done, way):
    """At a checkpoint three updates later, by when every weight is NaN."""
    alone, ranked = (done.directory / run for run in ("spoilt-1", f"{way}spoilt-2"))
    assert done.codes[f"{way}spoilt-2"] == [[1, 1]]
    assert sorted(path.name for path in (ranked / "checkpoints").iterdir()) == [
        "latest",
        "step-000005",
    ]
    ours, theirs = (
        json.loads((run / "anomalies" / "step-000007.json").read_text()) for run in (ranked, alone)
    )
    assert ours["batch"] == theirs["batch"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=ROUNDING_LOSS)
    norms = [each["gradient_norms"] for each in (ours, theirs)]
    assert [each.pop("layers.0.ffn.w2.weight") for each in norms] == ["nan", "nan"]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    assert len(norms[0]) > 5


def test_a_disk_that_is_full_for_one_rank_costs_all_that_checkpoint_and_no_other(done):
    assert done.codes["full"] == [[0, 0]], done.errors
    assert done.errors.count("no checkpoint was saved: ") == 1
    checkpoints = (done.directory / "full" / "checkpoints").iterdir()
    steps = sorted(path.name for path in checkpoints)
    assert steps == ["latest", "step-000005", "step-000015", "step-000020"]


def test_all_ranks_lose_patience_at_once(done):
    assert done.codes["stale"] == [[0, 0]]
    assert metrics(done.directory / "stale")[-1]["step"] == 10


@pytest.mark.parametrize(
    ("killed", "undisturbed"), [("killed", "fp32-4"), ("fsdp-killed", "fsdp-fp64-4")]
)
def test_a_killed_rank_ends_all_and_the_resumed_run_is_bit_for_bit_the_undisturbed(
    done, killed, undisturbed
):
    first, second = done.codes[killed]
    assert first == [1, 1, -SIGKILL, 1]
    assert second == [0, 0, 0, 0]
    killed, undisturbed = done.directory / killed, done.directory / undisturbed
    assert metrics(killed) == metrics(undisturbed)
    ours, theirs = tensors(killed), tensors(undisturbed)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_signal_to_one_rank_stops_all_and_fewer_go_on_along_the_same_curve(done):
    """The signals come between two lines of the metrics (steps 3, 6, 9 ...), which all wait for."""
    assert done.codes["shrinking"] == [[143] * 4, [130] * 2, [0]]
    root = done.directory
    assert_one_curve(root / "shrinking", root / "fp64-1", ROUNDING_64, ROUNDING_LOSS)


def test_a_divided_model_goes_on_among_fewer_ranks_in_one_and_among_more(done):
    assert done.codes["fsdp-shrinking"] == [[143] * 4, [130] * 2, [130], [0, 0]]
    root = done.directory
    assert_one_curve(root / "fsdp-shrinking", root / "muon-1", ROUNDING_64, ROUNDING_LOSS)


def test_a_number_of_ranks_that_does_not_divide_the_batch_is_refused(done):
    assert done.codes["three"] == [[1, 1, 1]]
    assert "batch_size must be divisible by world_size" in done.errors
    assert not (done.directory / "three").exists()


def test_ranks_that_hold_different_weights_are_refused(done):
    assert done.codes["skewed"] == [[1, 1]]
    assert "the 2 ranks differ in ln_final.weight" in done.errors
    assert not (done.directory / "skewed" / "checkpoints").exists()


def test_one_process_alone_agrees_with_itself(make_model):
    ranks = Ranks()
    assert ranks.sum([1.5, 2.0]) == [1.5, 2.0]
    assert ranks.gather([1, 2]) == [1, 2]
    assert ranks.from_first(lambda: "told") == "told"
    ranks.wait()
    ranks.check_equal(3, make_model())
    ranks.raise_if_stopped()


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (-1, 2), (0, 0)])
def test_a_rank_that_cannot_be_is_refused(rank, size):
    with pytest.raises(ValueError, match=r"rank must be in \[0, size\)"):
        Ranks(rank, size)


def test_signals_that_nobody_could_agree_on_any_more_are_raised_at_the_end():
    went_through = False
    with pytest.raises(KeyboardInterrupt), Ranks(0, 2).stopped_together():  # noqa: PT012
        signal.raise_signal(SIGINT)
        signal.raise_signal(SIGINT)  # torchrun passes on what the terminal has sent, too
        went_through = True
    assert went_through
    assert signal.getsignal(SIGINT) is signal.default_int_handler


def test_the_others_hear_that_the_first_failed():
    class Second(Ranks):
        def sum(self, values):
            return [1.0]

    with pytest.raises(FirstRankFailedError), Second(1, 2).first_goes_first():
        pytest.fail("went in")
