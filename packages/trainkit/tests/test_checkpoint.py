"""Checkpoints in one file. Property: load undoes save. Table: what is refused, changing nothing."""

import errno
import io
import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from optimkit import SGD, AdamW, Lion, Muon, muon_groups
from safetensors import safe_open
from torch import nn
from trainkit import CheckpointManager, load_checkpoint, save_checkpoint


def train_a_little(model, optimizer, steps=3):
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        token_ids = torch.randint(17, (2, 8), generator=generator)
        optimizer.zero_grad()
        model(token_ids).square().mean().backward()
        optimizer.step()


def adamw(model):
    return AdamW(model.parameters(), lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1)


def snapshot(model, optimizer):
    """Everything that a checkpoint holds, cloned."""
    states = {
        (index, name): value.clone() if isinstance(value, torch.Tensor) else value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return weights, states, optimizer.state_dict()["param_groups"]


def assert_same(ours, theirs):
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == other[name].dtype
                assert torch.equal(value, other[name]), name
            else:
                assert value == other[name]
    assert ours[2] == theirs[2]


@pytest.mark.parametrize("kind", ["path", "str", "file object"])
@pytest.mark.parametrize("optimizer_class", [AdamW, SGD, torch.optim.AdamW, torch.optim.SGD])
def test_load_undoes_save(tmp_path, make_model, kind, optimizer_class):
    options = {"momentum": 0.9} if "SGD" in optimizer_class.__name__ else {"betas": (0.8, 0.9)}
    model = make_model()
    optimizer = optimizer_class(model.parameters(), lr=1e-2, **options)
    train_a_little(model, optimizer)
    path = tmp_path / "checkpoint"
    out = {"path": path, "str": str(path), "file object": io.BytesIO()}[kind]
    save_checkpoint(model, optimizer, 3, out)
    if kind == "file object":
        out.seek(0)

    other = make_model(seed=1)
    other_optimizer = optimizer_class(other.parameters(), lr=5.0, **options)
    assert load_checkpoint(out, other, other_optimizer) == 3
    assert_same(snapshot(other, other_optimizer), snapshot(model, optimizer))
    train_a_little(model, optimizer)
    train_a_little(other, other_optimizer)
    assert_same(snapshot(other, other_optimizer), snapshot(model, optimizer))


def test_an_optimizer_without_state_and_none_at_all_are_saved_too(make_model):
    model = make_model()
    for optimizer in (adamw(model), None):
        out = io.BytesIO()
        save_checkpoint(model, optimizer, 0, out)
        out.seek(0)
        other = make_model(seed=1)
        other_optimizer = None if optimizer is None else adamw(other)
        assert load_checkpoint(out, other, other_optimizer) == 0
        assert torch.equal(other.lm_head.weight, model.lm_head.weight)
        assert other_optimizer is None or not other_optimizer.state


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "make_optimizer",
    [
        pytest.param(lambda model: Lion(model.parameters(), lr=1e-3), id="lion"),
        pytest.param(lambda model: Muon(muon_groups(model, 0.1), lr=1e-2), id="muon"),
    ],
)
def test_states_that_torch_does_not_know_are_saved_whole(
    tmp_path, make_model, make_optimizer, dtype
):
    model, other = make_model().to(dtype), make_model(seed=1).to(dtype)
    optimizer, other_optimizer = make_optimizer(model), make_optimizer(other)
    train_a_little(model, optimizer)
    save_checkpoint(model, optimizer, 3, tmp_path / "checkpoint")
    load_checkpoint(tmp_path / "checkpoint", other, other_optimizer)
    assert_same(snapshot(other, other_optimizer), snapshot(model, optimizer))
    train_a_little(model, optimizer)
    train_a_little(other, other_optimizer)
    assert_same(snapshot(other, other_optimizer), snapshot(model, optimizer))


def test_moments_keep_their_dtype_beside_bf16_weights(tmp_path, make_model):
    model = make_model().bfloat16()
    optimizer = adamw(model)
    train_a_little(model, optimizer)
    for state in optimizer.state.values():
        state["exp_avg"] = state["exp_avg"].float() + 2**-20  # bits that bf16 has no room for
    save_checkpoint(model, optimizer, 3, tmp_path / "checkpoint")
    other = make_model(seed=1).bfloat16()
    other_optimizer = adamw(other)
    load_checkpoint(tmp_path / "checkpoint", other, other_optimizer)
    assert_same(snapshot(other, other_optimizer), snapshot(model, optimizer))


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def save_in_directory(model, optimizer, step, path):
    CheckpointManager(path).save(step, model, optimizer)


def load_from_directory(path, model, optimizer):
    return CheckpointManager(path).load(model, optimizer).step


WAYS = {
    "one file": (save_checkpoint, load_checkpoint),
    "directory": (save_in_directory, load_from_directory),
}


class KeepsFp32(torch.optim.Optimizer):
    """An optimizer of someone else's, with fp32 states whatever the weights are."""

    def __init__(self, params):
        super().__init__(params, {"lr": 1e-2})

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            total = state.setdefault("total", torch.zeros_like(parameter, dtype=torch.float32))
            parameter.sub_(total.add_(parameter.grad).to(parameter.dtype), alpha=1e-2)


OPTIMIZERS = {
    "adamw": adamw,
    "another's": lambda model: KeepsFp32(model.parameters()),
    "sgd": lambda model: SGD(model.parameters(), lr=1e-2, momentum=0.9),
    "lion": lambda model: Lion(model.parameters(), lr=1e-3),
    "muon": lambda model: Muon(muon_groups(model, 0.1), lr=1e-2),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("saved", "loaded"), [("fp32", "bf16"), ("bf16", "fp32")])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_take_the_models_dtype_and_states_keep_their_own(
    tmp_path, make_model, way, saved, loaded, name
):
    save, load = WAYS[way]
    model, other, back = (
        make_model(seed).to(DTYPES[dtype]) for seed, dtype in enumerate((saved, loaded, saved))
    )
    optimizer, other_optimizer, back_optimizer = map(OPTIMIZERS[name], (model, other, back))
    train_a_little(model, optimizer)
    save(model, optimizer, 3, tmp_path / "checkpoint")
    assert load(tmp_path / "checkpoint", other, other_optimizer) == 3
    weights, states, groups = snapshot(model, optimizer)
    cast = {key: weight.to(DTYPES[loaded]) for key, weight in weights.items()}
    assert_same(snapshot(other, other_optimizer), (cast, states, groups))

    save(other, other_optimizer, 4, tmp_path / "back")
    assert load(tmp_path / "back", back, back_optimizer) == 4
    cast = {key: weight.to(DTYPES[saved]) for key, weight in cast.items()}
    assert_same(snapshot(back, back_optimizer), (cast, states, groups))
    if saved == "bf16":  # fp32 holds it all
        assert_same(snapshot(back, back_optimizer), snapshot(model, optimizer))

    before = other.lm_head.weight.clone()
    train_a_little(other, other_optimizer)  # and goes on from there
    assert other.lm_head.weight.isfinite().all()
    assert not torch.equal(other.lm_head.weight, before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("saved", "loaded"), [("fp32", "bf16"), ("bf16", "fp32")])
@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [
        (torch.optim.AdamW, {"foreach": False}),
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.SGD, {"momentum": 0.9}),
    ],
)
def test_torchs_own_optimizers_get_states_that_they_can_step_from(
    tmp_path, make_model, way, saved, loaded, optimizer_class, options
):
    save, load = WAYS[way]
    model, other = (make_model(i).to(DTYPES[name]) for i, name in enumerate((saved, loaded)))
    optimizer, other_optimizer = (
        optimizer_class(each.parameters(), lr=1e-2, **options) for each in (model, other)
    )
    train_a_little(model, optimizer)
    save(model, optimizer, 3, tmp_path / "checkpoint")
    load(tmp_path / "checkpoint", other, other_optimizer)
    weights, states, groups = snapshot(model, optimizer)
    cast = {
        key: value if key[1] == "step" else value.to(DTYPES[loaded])
        for key, value in states.items()
    }
    weights = {key: weight.to(DTYPES[loaded]) for key, weight in weights.items()}
    assert_same(snapshot(other, other_optimizer), (weights, cast, groups))
    train_a_little(other, other_optimizer)
    assert not torch.equal(other.lm_head.weight, weights["lm_head.weight"])


# "meta" computes nothing, and shows where tensors go.
@pytest.mark.parametrize("device", ["meta", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("way", WAYS)
def test_weights_and_states_go_to_the_models_device(tmp_path, make_model, way, device):
    save, load = WAYS[way]
    model, other = make_model(), make_model(seed=1).to(device)
    optimizer, other_optimizer = adamw(model), adamw(other)
    train_a_little(model, optimizer)
    save(model, optimizer, 3, tmp_path / "checkpoint")
    assert load(tmp_path / "checkpoint", other, other_optimizer) == 3
    assert {weight.device.type for weight in other.parameters()} == {device}
    for state in other_optimizer.state.values():
        assert state["exp_avg"].device.type == state["exp_avg_sq"].device.type == device
    if device == "cuda":
        save(other, other_optimizer, 3, tmp_path / "back")
        load(tmp_path / "back", back := make_model(seed=2), back_optimizer := adamw(back))
        assert_same(snapshot(back, back_optimizer), snapshot(model, optimizer))


def test_tied_and_strided_weights_are_saved_and_stay_tied(tmp_path, make_model):
    def tied(seed):
        model = make_model(seed)
        model.lm_head.weight = model.token_embeddings.weight
        model.ln_final.weight = nn.Parameter(torch.full((16, 2), float(seed))[:, 0])
        return model

    model, other = tied(0), tied(1)
    assert not model.ln_final.weight.is_contiguous()
    save_checkpoint(model, None, 0, tmp_path / "checkpoint")
    load_checkpoint(tmp_path / "checkpoint", other, None)
    assert torch.equal(other.lm_head.weight, model.lm_head.weight)
    assert other.lm_head.weight is other.token_embeddings.weight
    assert torch.equal(other.ln_final.weight, model.ln_final.weight)


def test_tied_embeddings_go_on_as_if_never_saved(tmp_path, make_model):
    ours, other = make_model(tied_embeddings=True), make_model(1, tied_embeddings=True)
    our_optimizer, other_optimizer = adamw(ours), adamw(other)
    train_a_little(ours, our_optimizer)
    save_checkpoint(ours, our_optimizer, 3, tmp_path / "checkpoint")
    load_checkpoint(tmp_path / "checkpoint", other, other_optimizer)
    for model, optimizer in ((ours, our_optimizer), (other, other_optimizer)):
        train_a_little(model, optimizer)
    assert_same(snapshot(other, other_optimizer), snapshot(ours, our_optimizer))
    assert other.lm_head.weight is other.token_embeddings.weight


def test_two_weights_do_not_load_into_one(tmp_path, make_model):
    save_checkpoint(make_model(1), None, 0, tmp_path / "untied")
    tied, before = make_model(tied_embeddings=True), make_model(tied_embeddings=True).state_dict()
    with pytest.raises(ValueError, match=r"lm_head.* are one weight in the model"):
        load_checkpoint(tmp_path / "untied", tied, None)
    assert all(torch.equal(weight, before[name]) for name, weight in tied.state_dict().items())
    save_checkpoint(tied, None, 0, tmp_path / "tied")
    untied = make_model(1)
    load_checkpoint(tmp_path / "tied", untied, None)
    assert torch.equal(untied.lm_head.weight, tied.lm_head.weight)


def test_scalar_weights_and_an_lr_that_is_a_tensor_survive(tmp_path):
    class Scale(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(value))

    models = [Scale(1.5), Scale(0.0)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=torch.tensor(0.5)) for model in models]
    optimizers[1].param_groups[0]["lr"] = torch.tensor(9.0)
    save_checkpoint(models[0], optimizers[0], 1, tmp_path / "checkpoint")
    load_checkpoint(tmp_path / "checkpoint", models[1], optimizers[1])
    assert models[1].scale.item() == 1.5
    assert torch.equal(optimizers[1].param_groups[0]["lr"], torch.tensor(0.5))


def test_names_are_the_bare_models_however_it_is_wrapped(tmp_path, make_model):
    model = make_model()
    plain = {f"model.{name}" for name in model.state_dict()}
    partly = make_model()
    partly.layers[0].attn = torch.compile(partly.layers[0].attn)
    for wrapped in (
        torch.compile(model),
        nn.DataParallel(model),
        torch.compile(nn.DataParallel(torch.compile(model))),
        partly,
    ):
        save_checkpoint(wrapped, adamw(wrapped), 7, tmp_path / "checkpoint")
        with safe_open(tmp_path / "checkpoint", framework="pt") as file:
            assert set(file.keys()) == plain
        other = make_model(seed=1)
        assert load_checkpoint(tmp_path / "checkpoint", other, adamw(other)) == 7
        assert load_checkpoint(tmp_path / "checkpoint", wrapped, adamw(wrapped)) == 7
        assert torch.equal(other.lm_head.weight, model.lm_head.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"d_model": 32},
            r"layers\.0\.ln1\.weight: \(16,\) in the checkpoint, \(32,\) in the model",
        ),
        (
            {"num_layers": 1},
            r"layers\.1\.attn\.k_proj\.weight: \(16, 16\) .*, missing in the model",
        ),
        ({"num_layers": 3}, r"layers\.2\.attn\.k_proj\.weight: missing in the checkpoint"),
        ({"num_layers": 9}, r"\.\.\. and 53 more"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, make_model, changes, message):
    save_checkpoint(make_model(), None, 1, tmp_path / "checkpoint")
    other = make_model(seed=1, **changes)
    optimizer = adamw(other)
    train_a_little(other, optimizer)
    before = snapshot(other, optimizer)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "checkpoint", other, optimizer)
    assert_same(snapshot(other, optimizer), before)


@pytest.mark.parametrize(
    ("make_optimizer", "message"),
    [
        (lambda model: SGD(model.parameters(), lr=1.0), "optimizer is AdamW, this one is SGD"),
        (lambda model: AdamW(list(model.parameters())[:3]), r"\[21\] parameters a group.*\[3\]"),
        (lambda model: AdamW(list(model.parameters())[::-1]), "in another order"),
    ],
)
def test_a_checkpoint_of_another_optimizer_is_refused(
    tmp_path, make_model, make_optimizer, message
):
    model = make_model()
    optimizer = adamw(model)
    train_a_little(model, optimizer)
    save_checkpoint(model, optimizer, 1, tmp_path / "checkpoint")
    other = make_model(seed=1)
    other_optimizer = make_optimizer(other)
    before = snapshot(other, other_optimizer)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "checkpoint", other, other_optimizer)
    assert_same(snapshot(other, other_optimizer), before)


def test_weights_alone_do_not_pass_for_a_whole_checkpoint(tmp_path, make_model):
    model = make_model()
    save_checkpoint(model, None, 1, tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="optimizer=None"):
        load_checkpoint(tmp_path / "checkpoint", model, adamw(model))


def test_a_truncated_checkpoint_is_refused_at_any_length(tmp_path, make_model):
    model = make_model()
    save_checkpoint(model, None, 1, tmp_path / "checkpoint")
    whole = (tmp_path / "checkpoint").read_bytes()
    for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "checkpoint").write_bytes(whole[:size])
        for src in (tmp_path / "checkpoint", io.BytesIO(whole[:size])):
            with pytest.raises(ValueError, match="not a whole safetensors file"):
                load_checkpoint(src, model, None)


def test_other_files_are_refused(tmp_path, make_model):
    model = make_model()
    (tmp_path / "text").write_text("once upon a time, there was no checkpoint")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_checkpoint(tmp_path / "text", model, None)
    safetensors.torch.save_file(dict(model.state_dict()), tmp_path / "weights")
    for src in (tmp_path / "weights", io.BytesIO((tmp_path / "weights").read_bytes())):
        with pytest.raises(ValueError, match="must be a groundup-checkpoint"):
            load_checkpoint(src, model, None)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nowhere", model, None)


def test_state_that_is_no_tensor_is_refused_by_name(tmp_path, make_model):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"epoch": 3}

    with pytest.raises(ValueError, match="_extra_state"):
        save_checkpoint(Extra(2, 2), None, 0, tmp_path / "checkpoint")
    model = make_model()
    optimizer = adamw(model)
    optimizer.param_groups[0]["lr"] = object()
    with pytest.raises(ValueError, match="optimizer's lr must be"):
        save_checkpoint(model, optimizer, 0, tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, make_model, monkeypatch, failing):
    model = make_model()
    save_checkpoint(model, None, 1, tmp_path / "checkpoint")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(make_model(seed=1), None, 2, tmp_path / "checkpoint")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    other = make_model(seed=2)
    assert load_checkpoint(tmp_path / "checkpoint", other, None) == 1
    assert torch.equal(other.lm_head.weight, model.lm_head.weight)


def test_a_limit_on_file_size_is_an_error_and_leaves_the_old_checkpoint(tmp_path, file_limit):
    save_checkpoint(nn.Linear(9, 9), None, 1, tmp_path / "checkpoint")
    with file_limit(1_000), pytest.raises(OSError, match="File too large"):
        save_checkpoint(nn.Linear(99, 99), None, 2, tmp_path / "checkpoint")
    assert load_checkpoint(tmp_path / "checkpoint", nn.Linear(9, 9), None) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


DIE_WHILE_SAVING = """
import os, signal, sys, torch
from trainkit import save_checkpoint
save_checkpoint(torch.nn.Linear(9, 9), None, 1, sys.argv[1])
os.replace = lambda *_: os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
save_checkpoint(torch.nn.Linear(99, 99), None, 2, sys.argv[1])
"""


def test_a_process_killed_while_saving_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    child = subprocess.run([sys.executable, "-c", DIE_WHILE_SAVING, str(path)], check=False)
    assert child.returncode not in (0, 1)  # neither finished nor an exception
    assert len(list(tmp_path.iterdir())) == 2  # it did die with the new file beside the old
    assert load_checkpoint(path, nn.Linear(9, 9), None) == 1


def test_a_link_stays_a_link(tmp_path, make_model):
    save_checkpoint(make_model(), None, 1, tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save_checkpoint(make_model(), None, 2, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_checkpoint(tmp_path / "real", make_model(), None) == 2
