"""Where a run is computed. Table: what was asked for, what is on record, and where it goes on."""

import pytest
import torch
from nnparts import TransformerConfig, TransformerLM
from train.config import RunConfig
from train.set_up import RunParts, build_model, resume


@pytest.mark.parametrize(
    ("asked", "recorded", "goes_on"),
    [
        ("auto", "cuda", "cuda"),
        ("auto", "cuda:0", "cuda"),  # by a record of before, the first rank's: no other rank's
        ("auto", "cpu", "cpu"),
        ("cuda:1", "cuda", "cuda:1"),
    ],
)
def test_a_rank_goes_on_on_a_device_of_its_own_of_that_kind(monkeypatch, asked, recorded, goes_on):
    picked: list[str] = []

    def pick_device(name):
        picked.append(name)
        return torch.device("cpu")

    monkeypatch.setattr("train.set_up.pick_device", pick_device)
    shape = TransformerConfig(17, context_length=8, d_model=16, num_layers=1, num_heads=2)
    record = {"model": shape.to_dict(), "execution": {"device": recorded}}
    build_model(RunConfig(device=asked), record, [], None)
    assert picked == [goes_on]


def test_what_the_first_rank_says_of_a_run_names_no_device_that_is_its_own(tmp_path):
    """It is `resume` on the first rank alone whose answer all take."""
    shape = TransformerConfig(17, context_length=8, d_model=16, num_layers=1, num_heads=2)
    record = {
        "execution": {"device": "meta:0", "precision": "fp32"},
        "made_with": {"threads": torch.get_num_threads()},
    }
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "latest").touch()
    model = TransformerLM(shape, device="meta:1")
    _, execution = resume(
        RunConfig(), RunParts(model, None, tmp_path, lambda _: None, 2), record, []
    )
    assert execution.device == "meta"
