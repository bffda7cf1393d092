"""What a resumed run may be told anew. Table: what is refused, with its reason."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

RUN = Path("run")


def record() -> dict[str, Any]:
    return json.loads((RUN / "config.json").read_text())


def checkpoint(step: int) -> Path:
    return RUN / "checkpoints" / f"step-{step:06d}"


def weights(step: int) -> dict[str, bytes]:
    tensors = load_file(checkpoint(step) / "model.safetensors")
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def of_groups(step: int, name: str) -> list[float | None]:
    """A hyperparameter of each parameter group that the optimizer was saved with."""
    with safe_open(checkpoint(step) / "optimizer.safetensors", "np") as file:
        description = json.loads(file.metadata()["groundup"])["description"]
    return [group.get(name) for group in description["param_groups"]]


def weight_decays(step: int) -> list[float | None]:
    return of_groups(step, "weight_decay")


def test_what_is_allowed_may_change_and_is_on_record(go_on):
    changed = ["--max-steps", 30, "--weight-decay", 0.3]
    code, words = go_on(*changed, "--allow", "max-steps")
    assert code == 1
    assert "but weight_decay was 0.1, now 0.3. Leave" in words
    assert "by --allow max-steps weight-decay," in words
    assert "changes" not in record()

    code, words = go_on(*changed, "--allow", "max-steps", "weight-decay")
    assert code == 0, words
    [change] = record()["changes"]
    assert change["step"] == 20
    assert change["fields"] == {
        "max_steps": {"before": 20, "now": 30},
        "weight_decay": {"before": 0.1, "now": 0.3},
    }
    assert weight_decays(20) == [0.1, 0.0]
    assert weight_decays(30) == [0.3, 0.0]

    assert go_on("--max-steps", 31, "--max-lr", 1e-3, "--allow", "all")[0] == 0
    assert [change["step"] for change in record()["changes"]] == [20, 30]
    assert set(record()["changes"][1]["fields"]) == {"max_steps", "max_lr"}


def test_a_change_outlives_a_kill_before_the_next_checkpoint(go_on):
    """Then the record of the run has the new weight decay, the checkpoint still the old one."""
    killed = record()
    killed["asked"]["training"] |= {"weight_decay": 0.3, "max_steps": 30}
    (RUN / "config.json").write_text(json.dumps(killed))
    code, words = go_on()
    assert code == 0, words
    assert weight_decays(30) == [0.3, 0.0]


def test_how_a_run_is_computed_may_change_where_it_is_allowed(go_on):
    changed = ["--precision", "bf16", "--max-steps", 21]
    code, words = go_on(*changed, "--allow", "precision", "max_steps")
    assert code == 0, words
    assert "precision bf16 (as asked); not compiled (as asked)" in words
    execution = record()["execution"]
    assert (execution["precision"], execution["compile"]) == ("bf16", False)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.d-model", 32], "model.d_model was 16, now 32 (never: the weights have"),
        (["--optimizer", "muon"], "optimizer was adamw, now muon (never: the state"),
        (["--batch-size", 8], "batch_size was 4, now 8 (never: which batches come"),
        (["--preset", "tales"], "preset was stories, now tales (never: it only gives"),
        (["--outer-lr-scale", 0.5], "outer_lr_scale was 1.0, now 0.5 (never: the optimizer's"),
        (["--embedding-lr-scale", 2], "embedding_lr_scale was None, now 2.0 (never: the optimizer"),
    ],
)
def test_what_can_never_change_is_refused_with_the_reason(go_on, flags, message):
    code, words = go_on(*flags, "--allow", "all")
    assert code == 1
    assert message in words
    assert "accept" not in words
    code, words = go_on(*flags, "--max-lr", 0.5)
    assert code == 1
    assert message in words
    assert "max_lr was 0.007, now 0.5" in words
    assert "accept what may change by --allow max-lr," in words


def test_a_scale_of_the_learning_rate_may_change_where_groups_stay_as_they_are(call, tiny_flags):
    begun = ["--out", "run", "--max-steps", 10, "--outer-lr-scale", 0.5, *tiny_flags]
    assert call(*begun)[0] == 0
    changed = ["--outer-lr-scale", 0.4, "--max-steps", 20]
    code, words = call("--resume", "--out", "run", *changed, "--allow", "all")
    assert code == 0, words
    assert "outer_lr_scale was 0.5, now 0.4" in words
    assert of_groups(20, "lr_scale") == [None, 0.4, None, 0.4]


def test_a_field_that_is_none_cannot_be_allowed(go_on):
    code, words = go_on("--allow", "maxlr")
    assert (code, "there is no maxlr" in words) == (1, True)


@pytest.mark.parametrize("flag", [["--allow", "max-lr"], ["--fall-back"]])
def test_a_new_run_has_nothing_to_allow(call, flag):
    code, words = call(*flag)
    assert (code, "add --resume" in words) == (1, True)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(go_on):
    before = weights(20)
    os.truncate(checkpoint(20) / "model.safetensors", 1000)
    code, words = go_on()
    assert code == 1
    assert "step-000020/model.safetensors should have" in words
    assert "--resume --fall-back goes on from the newest whole one" in words
    with pytest.warns(UserWarning, match="going back to step 10"):
        code, words = go_on("--fall-back")
    assert code == 0, words
    assert "from step 10" in words
    assert weights(20) == before


def test_a_run_whose_latest_is_damaged_goes_on_from_its_newest_whole_checkpoint(go_on):
    (RUN / "checkpoints" / "latest").write_bytes(b"\xff")
    code, words = go_on("--max-steps", 21, "--allow", "max-steps")
    assert code == 1
    assert "of steps [10, 20]: --resume --fall-back goes on" in words
    with pytest.warns(UserWarning, match="going back to step 20"):
        code, words = go_on("--max-steps", 21, "--allow", "max-steps", "--fall-back")
    assert code == 0, words
    assert "from step 20" in words
    assert (RUN / "checkpoints" / "latest").read_text() == "step-000021\n"


def test_another_number_of_threads_is_told(go_on):
    assert "threads" not in go_on()[1]
    began = record()
    began["made_with"]["threads"] = 3
    (RUN / "config.json").write_text(json.dumps(began))
    code, words = go_on()
    assert code == 0
    assert "began with 3 threads and goes on with 1" in words
    assert "OMP_NUM_THREADS=3 keeps them" in words


def test_a_run_killed_before_its_first_checkpoint_starts_from_bigrams_again(call, tiny_flags):
    flags = ["--out", "run", "--max-steps", 10, "--bigram-updates", 5, *tiny_flags]
    assert call(*flags)[0] == 0
    undisturbed = weights(10)
    shutil.rmtree(RUN / "checkpoints")  # what is there of a run that was killed so early
    (RUN / "metrics.jsonl").unlink()
    code, words = call("--resume", "--out", "run")
    assert code == 0, words
    assert "bigrams 5 updates" in words
    assert weights(10) == undisturbed
