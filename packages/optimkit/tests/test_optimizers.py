"""All optimizers: against torch's (parity), and that a resumed run never stopped (property).

What Muon and Lion alone promise is in test_muon.py and test_lion.py.
"""

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import SGD, AdamW, Lion

# (ours, torch's, options)
TWINS = [
    pytest.param(AdamW, torch.optim.AdamW, {}, id="adamw"),
    pytest.param(
        AdamW,
        torch.optim.AdamW,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3},
        id="adamw-options",
    ),
    pytest.param(SGD, torch.optim.SGD, {}, id="sgd"),
    pytest.param(
        SGD,
        torch.optim.SGD,
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
        id="sgd-nesterov",
    ),
    pytest.param(
        SGD, torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "dampening": 0.4}, id="sgd-dampening"
    ),
    pytest.param(
        SGD,
        torch.optim.SGD,
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1},
        id="sgd-options",
    ),
]
SHAPES = [(5, 3), (7,), ()]


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]
    return [torch.nn.Parameter(draw) for draw in draws]


def train(optimizer, steps):
    """Take `steps` (a range of them) with gradients that depend on the step alone."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in weights_of(optimizer):
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.grad = noise + parameter.detach()
        optimizer.step()


def weights_of(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def assert_equal_weights(first, second):
    for ours, theirs in zip(weights_of(first), weights_of(second), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("our_class", "their_class", "options"), TWINS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_three_hundred_steps_are_torchs(our_class, their_class, options, dtype):
    ours = our_class(parameters(dtype), **options)
    theirs = their_class(parameters(dtype), **options, foreach=False)
    train(ours, range(300))
    train(theirs, range(300))
    # Close, not equal: the order of torch's operations is its own affair.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for our, their in zip(weights_of(ours), weights_of(theirs), strict=True):
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)


@given(
    shape=st.lists(st.integers(0, 9), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    layouts=st.tuples(st.booleans(), st.booleans()),
    lr=st.floats(0, 1),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.999)),
    weight_decay=st.floats(0, 1),
)
@settings(max_examples=50, deadline=None)
def test_the_fused_kernel_is_the_formula(shape, dtype, layouts, lr, betas, weight_decay):
    # Transposed layouts, too: torch's kernel alone would update the wrong weights.
    generator = torch.Generator().manual_seed(0)
    options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
    start = laid_out(torch.randn(shape, generator=generator, dtype=dtype), layouts[0])
    impls = ("fused", "reference")
    both = [AdamW([torch.nn.Parameter(start.clone())], **options, impl=impl) for impl in impls]
    for _ in range(5):
        grad = laid_out(torch.randn(shape, generator=generator, dtype=dtype), layouts[1])
        for optimizer in both:
            weights_of(optimizer)[0].grad = grad
            optimizer.step()
    fused, reference = (weights_of(optimizer)[0] for optimizer in both)
    # 10 roundings of numbers of at most 5: five steps of lr <= 1 on weights of some 4.
    tolerance = 50 * torch.finfo(dtype).eps
    torch.testing.assert_close(fused, reference, rtol=tolerance, atol=tolerance)


def laid_out(tensor, is_transposed):
    """The same values; where `is_transposed`, the first dimension is the innermost in memory."""
    return tensor.mT.contiguous().mT if is_transposed and tensor.ndim >= 2 else tensor


def test_the_reference_is_chosen_by_name_and_stays_chosen_in_a_state():
    chosen = AdamW(parameters(), impl="reference")
    train(chosen, range(2))
    loaded = AdamW(parameters())
    loaded.load_state_dict(chosen.state_dict())
    assert loaded.param_groups[0]["impl"] == "reference"
    loaded.load_state_dict(torch.optim.AdamW(parameters()).state_dict())
    assert loaded.param_groups[0]["impl"] == "reference"


def test_the_first_adamw_step_has_length_lr():
    # By hand: exp_avg / (1 - beta1) = g and exp_avg_sq / (1 - beta2) = g^2, so the step is lr.
    weight = torch.nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))
    weight.grad = torch.tensor([1e-3, -5.0], dtype=torch.float64)
    AdamW([weight], lr=0.1, eps=0.0, weight_decay=0.5).step()
    expected = torch.tensor([1 - 0.05 - 0.1, -1 + 0.05 + 0.1], dtype=torch.float64)
    torch.testing.assert_close(weight.data, expected)


def test_adamw_decay_does_not_depend_on_the_gradient():
    weight = torch.nn.Parameter(torch.tensor([4.0]))
    weight.grad = torch.zeros(1)
    AdamW([weight], lr=0.1, weight_decay=0.5).step()
    assert weight.item() == pytest.approx(4 * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(("our_class", "their_class", "options"), TWINS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_state_goes_to_torch_and_back(our_class, their_class, options, dtype):
    never_moved = our_class(parameters(dtype), **options)
    train(never_moved, range(60))

    start = our_class(parameters(dtype), **options)
    train(start, range(20))
    theirs = their_class(copied(start), foreach=False)
    theirs.load_state_dict(start.state_dict())
    train(theirs, range(20, 40))
    back = our_class(copied(theirs))
    back.load_state_dict(theirs.state_dict())
    # Nothing of a state is lost on the way: all of it is there, and as wide.
    assert dtypes_of(back) == dtypes_of(theirs) == dtypes_of(start)
    train(back, range(40, 60))
    # Close, not equal: the order of torch's operations is its own affair.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for our, their in zip(weights_of(back), weights_of(never_moved), strict=True):
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)


def dtypes_of(optimizer):
    states = (optimizer.state[weight] for weight in weights_of(optimizer))
    return [{name: value.dtype for name, value in state.items()} for state in states]


def copied(optimizer):
    return [torch.nn.Parameter(parameter.detach().clone()) for parameter in weights_of(optimizer)]


def test_adamw_keeps_torchs_state_names():
    optimizer = AdamW(parameters())
    train(optimizer, range(3))
    state = optimizer.state_dict()["state"][0]
    assert sorted(state) == ["exp_avg", "exp_avg_sq", "step"]
    assert state["step"].dtype == torch.float32
    assert state["step"] == 3


@pytest.mark.parametrize(("our_class", "_their_class", "options"), TWINS)
def test_a_resumed_run_is_bit_for_bit_one_that_never_stopped(our_class, _their_class, options):
    never_stopped = our_class(parameters(), **options)
    train(never_stopped, range(30))

    stopped = our_class(parameters(), **options)
    train(stopped, range(13))
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = our_class(copied(stopped))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(resumed, range(13, 30))
    assert_equal_weights(resumed, never_stopped)


@pytest.mark.parametrize("optimizer_class", [AdamW, SGD, Lion])
def test_a_parameter_without_a_gradient_is_left_alone(optimizer_class):
    moving, frozen = parameters()[:2]
    before = frozen.detach().clone()
    optimizer = optimizer_class([moving, frozen], weight_decay=0.1)
    moving.grad = torch.ones_like(moving)
    optimizer.step()
    assert torch.equal(frozen, before)
    assert frozen not in optimizer.state


@pytest.mark.parametrize("optimizer_class", [AdamW, SGD, Lion])
def test_groups_have_hyperparameters_of_their_own(optimizer_class):
    fast, still, _ = parameters()
    before = still.detach().clone()
    optimizer = optimizer_class([{"params": [fast]}, {"params": [still], "lr": 0.0}], lr=0.1)
    train(optimizer, range(3))
    assert torch.equal(still, before)
    assert not torch.equal(fast, parameters()[0])


@pytest.mark.parametrize("optimizer_class", [AdamW, SGD, Lion])
def test_a_closure_is_called_with_gradients_on_and_its_loss_returned(optimizer_class):
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = optimizer_class([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = weight.square()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 4.0
    assert weight < 2
    assert optimizer.step() is None


def test_torchs_schedulers_drive_our_optimizers():
    optimizer = AdamW(parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    train(optimizer, range(1))
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_an_optimizer_can_be_copied():
    optimizer = AdamW(parameters())
    train(optimizer, range(3))
    twin = copy.deepcopy(optimizer)
    train(optimizer, range(3, 6))
    train(twin, range(3, 6))
    assert_equal_weights(optimizer, twin)


@pytest.mark.parametrize(
    ("optimizer_class", "options", "message"),
    [
        (AdamW, {"lr": -1.0}, "lr must be finite and not negative, got lr=-1.0"),
        (AdamW, {"lr": float("nan")}, "lr must be finite and not negative, got lr=nan"),
        (AdamW, {"eps": -1e-8}, "eps must be finite and not negative"),
        (AdamW, {"weight_decay": float("inf")}, "weight_decay must be finite and not negative"),
        (AdamW, {"betas": (0.9, 1.0)}, r"both betas must lie in \[0, 1\), got betas=\(0.9, 1.0\)"),
        (AdamW, {"betas": (-0.1, 0.9)}, r"both betas must lie in \[0, 1\)"),
        (SGD, {"lr": -1.0}, "lr must be finite and not negative, got lr=-1.0"),
        (SGD, {"momentum": 1.0}, r"momentum must lie in \[0, 1\), got momentum=1.0"),
        (SGD, {"weight_decay": -0.1}, "weight_decay must be finite and not negative"),
        (SGD, {"momentum": 0.9, "dampening": -0.1}, r"dampening must lie in \[0, 1\)"),
        (SGD, {"nesterov": True}, "nesterov needs momentum and no dampening, got momentum=0.0"),
        (
            SGD,
            {"momentum": 0.9, "dampening": 0.5, "nesterov": True},
            "nesterov needs momentum and no dampening",
        ),
        (Lion, {"lr": -1.0}, "lr must be finite and not negative, got lr=-1.0"),
        (Lion, {"weight_decay": float("nan")}, "weight_decay must be finite and not negative"),
        (Lion, {"betas": (0.9, 1.0)}, r"both betas must lie in \[0, 1\)"),
    ],
)
def test_hyperparameters_out_of_range_are_named(optimizer_class, options, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class(parameters(), **options)
    with pytest.raises(ValueError, match=message):
        optimizer_class([{"params": parameters(), **options}])


def test_an_unknown_impl_is_named():
    with pytest.raises(
        ValueError, match=r"impl must be one of \('fused', 'reference'\), got .*'fast'"
    ):
        AdamW([{"params": parameters(), "impl": "fast"}])


@pytest.mark.parametrize(
    ("our_class", "theirs", "option"),
    [
        (AdamW, lambda weights: torch.optim.AdamW(weights, amsgrad=True), "amsgrad=True"),
        (AdamW, lambda weights: torch.optim.AdamW(weights, maximize=True), "maximize=True"),
        (SGD, lambda weights: torch.optim.SGD(weights, maximize=True), "maximize=True"),
    ],
)
def test_a_state_that_needs_a_missing_option_is_refused(our_class, theirs, option):
    with pytest.raises(ValueError, match=f"lacks options this state needs, got {option}"):
        our_class(parameters()).load_state_dict(theirs(parameters()).state_dict())


@pytest.mark.parametrize("optimizer_class", [AdamW, SGD, Lion])
def test_sparse_and_complex_gradients_are_refused(optimizer_class):
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    phase = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    phase.grad = torch.ones_like(phase)
    for parameter in (table.weight, phase):
        with pytest.raises(ValueError, match="gradients must be dense and real"):
            optimizer_class([parameter]).step()
