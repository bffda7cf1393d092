"""Parameter groups: every role of a parameter, and that none is lost (property)."""

import pytest
import torch
from optimkit import muon_groups, parameter_groups, scale_outer_groups
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(4, 8)
        self.down = nn.Linear(8, 4)
        self.norm = nn.LayerNorm(4)
        self.slots = nn.Embedding(4, 4)  # a table inside the stack


class Language(nn.Module):
    def __init__(self, is_tied=False):
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.layers = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(4, 7, bias=False)
        if is_tied:
            self.head.weight = self.tokens.weight


def names(model, groups):
    by_identity = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[by_identity[id(parameter)] for parameter in group["params"]] for group in groups]


def decays(model, groups):
    """Pairs of a parameter's name and its decay."""
    named = zip(names(model, groups), groups, strict=True)
    return sorted((name, group["weight_decay"]) for members, group in named for name in members)


HIDDEN = [f"layers.{layer}.{part}.weight" for layer in (0, 1) for part in ("up", "down")]


def test_matrices_decay_and_gains_biases_and_embeddings_do_not():
    model = Language()
    groups = parameter_groups(model, 0.3)
    decaying, resting = names(model, groups)
    assert decaying == [*HIDDEN, "head.weight"]
    assert resting == [name for name, _ in model.named_parameters() if name not in decaying]
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_muon_gets_the_hidden_matrices_and_adamw_the_rest(weight_decay):
    model = Language()
    groups = muon_groups(model, weight_decay)
    hidden, head, resting = names(model, groups)
    assert hidden == HIDDEN
    assert head == ["head.weight"]
    assert resting == names(model, parameter_groups(model, 0.3))[1]
    assert [group["rule"] for group in groups] == ["muon", "adamw", "adamw"]
    assert [group["weight_decay"] for group in groups] == [weight_decay, weight_decay, 0.0]


@pytest.mark.parametrize("make", [parameter_groups, muon_groups])
def test_a_tied_head_is_an_embedding_and_comes_once(make):
    model = Language(is_tied=True)
    grouped = [name for group in names(model, make(model, 0.1)) for name in group]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())
    assert "tokens.weight" in names(model, make(model, 0.1))[-1]


@pytest.mark.parametrize("make", [parameter_groups, muon_groups])
@pytest.mark.parametrize("is_tied", [False, True])
def test_what_stands_outside_the_layers_has_a_rate_of_its_own(make, is_tied):
    model = Language(is_tied=is_tied)
    groups = make(model, 0.1)
    scaled = scale_outer_groups(groups, model, 0.3)
    for members, group in zip(names(model, scaled), scaled, strict=True):
        assert {name.startswith("layers.") for name in members} == {"lr_scale" not in group}
        assert group.get("lr_scale", 0.3) == 0.3
    assert decays(model, scaled) == decays(model, groups)


@pytest.mark.parametrize("make", [parameter_groups, muon_groups])
@pytest.mark.parametrize("is_tied", [False, True])
def test_embeddings_have_another_rate_than_what_else_is_outside(make, is_tied):
    model = Language(is_tied=is_tied)
    groups = make(model, 0.1)
    scaled = scale_outer_groups(groups, model, 0.3, embedding_lr_scale=4.0)
    rates = {
        name: group.get("lr_scale", 1.0)
        for members, group in zip(names(model, scaled), scaled, strict=True)
        for name in members
    }
    for name, _ in model.named_parameters():
        is_embedding = name in ("tokens.weight", "positions.weight")
        assert rates[name] == (1.0 if name.startswith("layers.") else 4.0 if is_embedding else 0.3)
    assert decays(model, scaled) == decays(model, groups)


@pytest.mark.parametrize("embedding_lr_scale", [None, 0.0, -1.0])
def test_a_rate_that_is_no_share_is_refused(embedding_lr_scale):
    model = Language()
    name = "lr_scale" if embedding_lr_scale is None else "embedding_lr_scale"
    share = 0 if embedding_lr_scale is None else 0.5
    with pytest.raises(ValueError, match=f"above 0, got {name}="):
        scale_outer_groups(
            parameter_groups(model, 0.1), model, share, embedding_lr_scale=embedding_lr_scale
        )


@pytest.mark.parametrize("make", [parameter_groups, muon_groups])
def test_frozen_parameters_and_empty_groups_are_left_out(make):
    model = Language()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in HIDDEN[:2])
    groups = make(model, 0.1)
    assert names(model, groups) == [HIDDEN[:2]]


def test_a_model_without_hidden_matrices_is_refused_for_muon():
    with pytest.raises(ValueError, match=r"Muon needs hidden matrices.*got stacks=0"):
        muon_groups(nn.Sequential(nn.Linear(3, 3)), 0.1)


def test_kernels_of_more_than_two_dimensions_decay_but_are_not_muons():
    model = Language()
    model.layers.append(nn.Conv1d(4, 4, 3))
    (hidden, others, _) = names(model, muon_groups(model, 0.1))
    assert hidden == HIDDEN
    assert others == ["layers.2.weight", "head.weight"]
    assert torch.is_tensor(model.layers[2].weight)
