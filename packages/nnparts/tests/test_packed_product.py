"""Products by packed weights. Parity: with the usual products."""

import pytest
import torch
from nnparts import packed_product as module


def some_weight(*shape, dtype=None):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.fixture
def always_pays(monkeypatch):
    """Packs whatever this machine is good at, if it can at all."""
    if not module._is_right(1):
        pytest.skip("this torch has no packed products: `products` gives the usual ones")
    monkeypatch.setattr(module, "_pays", lambda *_: True)


@pytest.fixture
def packed(monkeypatch):
    """The weights that were packed."""
    weights = []
    monkeypatch.setattr(module, "_packed_product", weights.append)
    return weights


@pytest.mark.usefixtures("always_pays")
@pytest.mark.parametrize("shape", [(1, 48), (8, 48), (2, 3, 48), (0, 48)])
def test_packed_products_are_the_usual_ones(shape):
    weight = some_weight(32, 48)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    (product,) = module.products([weight], rows=8)
    torch.testing.assert_close(product(x), x @ weight.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_that_are_not_fp32_stay_as_they_are(monkeypatch, packed, dtype):
    monkeypatch.setattr(module, "_pays", lambda *_: True)
    weight, x = some_weight(4, 4, dtype=dtype), torch.ones(1, 4, dtype=dtype)
    (product,) = module.products([weight], rows=1)
    assert not packed
    assert torch.equal(product(x), x @ weight.T)


def test_where_packing_does_not_pay_the_products_are_the_usual_ones(monkeypatch, packed):
    monkeypatch.setattr(module, "_pays", lambda *_: False)
    weight, x = some_weight(4, 4), torch.ones(1, 4)
    (product,) = module.products([weight], rows=1)
    assert not packed
    assert torch.equal(product(x), x @ weight.T)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_operators_that_are_not_there_or_refuse_are_not_used(monkeypatch, error):
    def refuse(weight):
        raise error("no such operator")

    monkeypatch.setattr(module, "_packed_product", refuse)
    assert not module._is_right(1)


def test_a_product_that_is_not_fp32_is_not_used(monkeypatch):
    monkeypatch.setattr(
        module,
        "_packed_product",
        lambda weight: lambda x: (x.bfloat16() @ weight.bfloat16().T).float(),
    )
    assert not module._is_right(1)


@pytest.mark.parametrize(("packed_seconds", "pays"), [(0.5, True), (0.99, False), (2.0, False)])
def test_packing_pays_where_it_is_clearly_faster(monkeypatch, packed_seconds, pays):
    monkeypatch.setattr(module, "_is_right", lambda rows: True)
    monkeypatch.setattr(module, "_tried_products", lambda shapes, rows: ([], ["usual"], ["packed"]))
    times = {"usual": 1.0, "packed": packed_seconds}
    monkeypatch.setattr(module, "_seconds", lambda products, inputs: times[products[0]])
    module._pays.cache_clear()
    assert module._pays(((4, 4), (8, 4)), 1, 1) == pays
    module._pays.cache_clear()


def test_what_is_timed_is_a_share_of_the_models_own_shapes(monkeypatch):
    monkeypatch.setattr(module, "_packed_product", lambda weight: lambda x: x @ weight.T)
    monkeypatch.setattr(module, "_MEASURED_BYTES", 4 * (4 * 4 + 1))
    inputs, usual, packed = module._tried_products(((4, 4), (8, 4), (2, 8)), 3)
    assert [x.shape for x in inputs] == [(3, 4), (3, 4)]
    for products in (usual, packed):
        shapes = [product(x).shape for product, x in zip(products, inputs, strict=True)]
        assert shapes == [(3, 4), (3, 8)]
    assert module._seconds(usual, inputs) > 0


def test_no_weights_give_no_products():
    assert module.products([], rows=1) == []
