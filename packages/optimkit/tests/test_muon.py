"""Muon and Newton-Schulz: against torch's and against singular values (parity)."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import AdamW, Muon, fastest_matmul_dtype, matmul_dtype, muon_groups, newton_schulz
from optimkit import muon as module
from optimkit.muon import lr_scale
from optimkit.newton_schulz import QUINTIC

SHAPES = [(5, 3), (3, 8), (4, 4)]
# torch 2.7 has no Muon; the project takes it from 2.9 on.
needs_torchs = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch below 2.9")


def matrices():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def weights_of(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def copied(optimizer):
    return [torch.nn.Parameter(parameter.detach().clone()) for parameter in weights_of(optimizer)]


def train(optimizer, steps):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in weights_of(optimizer):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    scale=st.floats(1e-4, 1e4),
    steps=st.integers(0, 6),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_newton_schulz_applies_its_polynomial_to_the_singular_values(shape, scale, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    matrix = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.norm()
    a, b, c = QUINTIC
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    expected = u @ torch.diag(s) @ vh
    torch.testing.assert_close(newton_schulz(matrix, steps=steps), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(40, 40), (20, 60), (60, 20)])
def test_newton_schulz_brings_singular_values_near_one(shape, dtype):
    # Singular values from 0.01 to 1, as the docstring's promise wants them.
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    matrix = u @ torch.diag(torch.logspace(-2, 0, min(shape))) @ vh
    values = torch.linalg.svdvals(newton_schulz(matrix, dtype=dtype).float())
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_newton_schulz_leaves_zero_and_its_input_alone():
    zero = torch.zeros(3, 4)
    assert torch.equal(newton_schulz(zero), zero)
    matrix = torch.eye(3)
    newton_schulz(matrix)
    assert torch.equal(matrix, torch.eye(3))


@needs_torchs
@pytest.mark.parametrize(
    "options",
    [
        {"adjust_lr_fn": "original"},
        {"adjust_lr_fn": None, "nesterov": False, "momentum": 0.8},
        {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3, "lr": 0.02},
        {"adjust_lr_fn": "spectral_unclamped", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
    ],
)
def test_forty_steps_are_torchs(options):
    ours = Muon(matrices(), **options, precision="bf16")
    theirs = torch.optim.Muon(matrices(), **options)
    train(ours, range(40))
    train(theirs, range(40))
    lr = options.get("lr", 1e-3)
    for our, their in zip(weights_of(ours), weights_of(theirs), strict=True):
        # An update, of elements up to lr, is right to bf16's 8 bits.
        torch.testing.assert_close(our, their, rtol=0, atol=40 * lr * 2**-8)


@needs_torchs
def test_state_goes_to_torch_and_back():
    options = {"adjust_lr_fn": "original", "lr": 0.01, "momentum": 0.9}
    never_moved = Muon(matrices(), **options, precision="bf16")
    train(never_moved, range(30))
    start = Muon(matrices(), **options, precision="bf16")
    train(start, range(10))
    theirs = torch.optim.Muon(copied(start))
    theirs.load_state_dict(start.state_dict())
    train(theirs, range(10, 20))
    back = Muon(copied(theirs), precision="bf16")
    back.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert back.param_groups[0]["adjust_lr_fn"] == "original"
    train(back, range(20, 30))
    for our, their in zip(weights_of(back), weights_of(never_moved), strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=30 * 0.01 * 2**-8)


@pytest.mark.parametrize("fastest", ["bf16", "fp32"])
def test_the_precision_is_measured_unless_told(monkeypatch, fastest):
    monkeypatch.setattr(module, "fastest_matmul_dtype", {"cpu": fastest}.__getitem__)
    assert Muon(matrices()).param_groups[0]["precision"] == fastest
    for told in ("bf16", "fp32"):
        assert Muon(matrices(), precision=told).param_groups[0]["precision"] == told


@pytest.mark.parametrize(
    ("bf16_seconds", "fastest"),  # of squares of 64 and 512, in fp32's
    [
        ({64: 1.0, 512: 0.25}, "bf16"),
        ({64: 7.9, 512: 0.89}, "bf16"),
        ({64: 1.0, 512: 0.91}, "fp32"),
        ({64: 0.5, 512: 1.0}, "fp32"),
        ({64: 600.0}, "fp32"),  # the greater square isn't tried
    ],
)
def test_bf16_is_fastest_where_it_gains_a_tenth(monkeypatch, bf16_seconds, fastest):
    def seconds(device, dtype, size):
        assert device == "cpu"
        return {"fp32": 3.0, "bf16": 3.0 * bf16_seconds[size]}[dtype]

    monkeypatch.setattr(matmul_dtype, "_seconds", seconds)
    fastest_matmul_dtype.cache_clear()
    assert fastest_matmul_dtype("cpu") == fastest
    fastest_matmul_dtype.cache_clear()


def test_a_product_takes_time_in_every_precision():
    for dtype in ("bf16", "fp32"):
        assert matmul_dtype._seconds("cpu", dtype, 8) > 0


def test_the_precision_stays_in_the_state():
    told = Muon(matrices(), precision="bf16")
    train(told, range(2))
    resumed = Muon(matrices(), precision="fp32")
    resumed.load_state_dict(told.state_dict())
    assert resumed.param_groups[0]["precision"] == "bf16"


def test_both_precisions_go_the_same_way():
    bf16, fp32 = (Muon(matrices(), lr=0.02, precision=name) for name in ("bf16", "fp32"))
    train(bf16, range(20))
    train(fp32, range(20))
    for low, full in zip(weights_of(bf16), weights_of(fp32), strict=True):
        # The two differ as above, by bf16's 8 bits of each update.
        torch.testing.assert_close(low, full, rtol=0, atol=20 * 0.02 * 2**-7)


class Language(torch.nn.Module):
    """The least that has all roles."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(7, 4)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
        self.norm = torch.nn.LayerNorm(4)
        self.head = torch.nn.Linear(4, 7, bias=False)


def test_what_is_no_hidden_matrix_is_updated_by_adamw():
    torch.manual_seed(0)
    model = Language()
    twin = copy.deepcopy(model)
    muon = Muon(muon_groups(model, 0.1), lr=0.01, betas=(0.8, 0.9), precision="fp32")
    hidden, *rest = muon_groups(twin, 0.1)
    plain = [{key: value for key, value in group.items() if key != "rule"} for group in rest]
    adamw = AdamW(plain, lr=0.01, betas=(0.8, 0.9))
    alone = Muon([hidden], lr=0.01, precision="fp32")
    for step in range(10):
        for each in (model, twin):
            generator = torch.Generator().manual_seed(step)
            for parameter in each.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in (muon, adamw, alone):
            optimizer.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_whole_models_state_makes_the_round_trip():
    torch.manual_seed(0)
    never_stopped = Muon(muon_groups(Language(), 0.1), precision="fp32")
    torch.manual_seed(0)
    model = Language()
    stopped = Muon(muon_groups(model, 0.1), precision="fp32")
    train(never_stopped, range(12))
    train(stopped, range(5))
    resumed = Muon(muon_groups(copy.deepcopy(model), 0.1))
    resumed.load_state_dict(stopped.state_dict())
    train(resumed, range(5, 12))
    for ours, theirs in zip(weights_of(resumed), weights_of(never_stopped), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("original", [2.0, 1.0]),
        (None, [2.0, 1.0]),
        ("match_rms_adamw", [0.2 * math.sqrt(12), 0.2 * math.sqrt(12)]),
        ("spectral_unclamped", [2.0, 0.5]),
    ],
)
def test_the_step_size_grows_with_the_matrix(rule, expected):
    scales = [lr_scale(12, 3, rule), lr_scale(3, 12, rule)]
    assert scales == pytest.approx(expected)


def test_the_rms_of_an_update_is_adamws_whatever_the_shape():
    for shape in [(64, 64), (32, 128), (128, 32)]:
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        Muon([weight], lr=1.0, precision="fp32").step()
        # Singular values are within 0.3 of 1, and so is the rms within 0.3 of 0.2, relatively.
        assert weight.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be finite and not negative, got lr=-1.0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got momentum=1.0"),
        ({"ns_steps": 100}, r"ns_steps must lie in \[0, 100\), got ns_steps=100"),
        ({"adjust_lr_fn": "mine"}, "adjust_lr_fn must be one of .* or None, got adjust_lr_fn='m"),
        ({"precision": "fp8"}, "precision must be one of .* or None, got precision='fp8'"),
        ({"rule": "sgd"}, 'rule must be "muon" or "adamw", got rule=\'sgd\''),
    ],
)
def test_hyperparameters_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Muon([{"params": matrices(), **options}])


def test_what_is_no_matrix_is_refused_and_the_way_out_said():
    gain = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r'"rule": "adamw".*got shape=\(3,\)'):
        Muon([gain])
    optimizer = Muon(matrices())
    with pytest.raises(ValueError, match="is for matrices"):
        optimizer.add_param_group({"params": [gain]})
    optimizer.add_param_group({"params": [gain], "rule": "adamw"})
    assert [group["eps"] for group in optimizer.param_groups] == [1e-7, 1e-8]


def test_a_group_without_parameters_asks_for_no_measurement(monkeypatch):
    monkeypatch.setattr(module, "fastest_matmul_dtype", {}.__getitem__)
    empty = {"params": []}
    optimizer = Muon([empty, {"params": matrices(), "precision": "bf16"}])
    optimizer.add_param_group({"params": [], "rule": "adamw"})
    assert [group["precision"] for group in optimizer.param_groups] == ["fp32", "bf16", "fp32"]
    train(optimizer, range(2))


def test_nothing_is_computed_on_meta():
    assert fastest_matmul_dtype("meta") == "fp32"
