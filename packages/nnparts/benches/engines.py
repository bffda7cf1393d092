"""The models that are compared: ts17m, ours and its peers', with the same weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from nnparts import TransformerConfig, TransformerLM
from torch import Tensor, nn
from trainkit.loss import batch_loss

TS17M = TransformerConfig(
    vocab_size=10_000, context_length=256, d_model=512, num_layers=4, num_heads=16, d_ff=1_344
)
SHARPNESS = 16.0
"""Times the head's initial weights, for decoding: logits get a standard deviation of 5, so that the
next token is as sure as after training; new weights leave thousands of tokens in every nucleus."""

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """`build(model of ours)` gives the engine's model with the same weights, `loss` its loss."""

    module: str
    about: str
    build: Callable[[TransformerLM], nn.Module]
    loss: Loss
    generate: Callable[[nn.Module, Tensor, int, bool], Tensor] | None = None

    @property
    def is_here(self) -> bool:
        """Whether its package can be imported."""
        return importlib.util.find_spec(self.module) is not None


def reference_model(sharpness: float = 1.0) -> TransformerLM:
    """The weights that all engines start from."""
    model = TransformerLM(TS17M, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.lm_head.weight.mul_(sharpness)
    return model


def halves(weight: Tensor) -> Tensor:
    """Rows of a query or key matrix for a RoPE that pairs i with i + head_dim / 2, not i + 1."""
    heads = weight.unflatten(0, (TS17M.num_heads, -1))
    return torch.cat([heads[:, 0::2], heads[:, 1::2]], dim=1).flatten(0, 1)


def huggingface(ours: TransformerLM) -> nn.Module:
    """Llama of `transformers`, attention by torch's kernel, as by default."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=TS17M.vocab_size,
        hidden_size=TS17M.d_model,
        intermediate_size=TS17M.d_ff,
        num_hidden_layers=TS17M.num_layers,
        num_attention_heads=TS17M.num_heads,
        num_key_value_heads=TS17M.num_heads,
        max_position_embeddings=TS17M.context_length,
        rms_norm_eps=TS17M.norm_eps,
        rope_theta=TS17M.rope_theta,
        attn_implementation="sdpa",
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(dict(huggingface_state(ours.state_dict())))
    return model


def huggingface_state(state: dict[str, Tensor]) -> Any:
    """Our tensors under the names of Llama in `transformers`."""
    parts = {"attn": "self_attn", "ffn": "mlp", "ln1": "input_layernorm"}
    parts |= {"ln2": "post_attention_layernorm", "output_proj": "o_proj"}
    parts |= {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    tops = {"token_embeddings.weight": "model.embed_tokens.weight", "lm_head.weight": None}
    tops |= {"ln_final.weight": "model.norm.weight"}
    for name, tensor in state.items():
        is_rotated = ".q_proj." in name or ".k_proj." in name
        words = [parts.get(word, word) for word in name.split(".")]
        theirs = tops[name] or name if name in tops else ".".join(["model", *words])
        yield theirs, halves(tensor) if is_rotated else tensor


def huggingface_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The loss that the model itself gives for labels that are already shifted."""
    return model(input_ids=inputs, shift_labels=targets, labels=targets).loss


def huggingface_generate(model: Any, prompt: Tensor, count: int, sampled: bool) -> Tensor:
    """`generate` as it comes: dynamic cache, eager."""
    knobs = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0}
    with torch.no_grad():
        return model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            **(knobs if sampled else {"do_sample": False}),
        )


def our_generate(model: nn.Module, prompt: Tensor, count: int, sampled: bool) -> Tensor:
    """`trainkit.generate`, with or without the nucleus."""
    from trainkit import generate

    if sampled:
        return generate(model, prompt, count, 0.8, 0.95, seed=0)
    return generate(model, prompt, count, 0.0)


def litgpt(ours: TransformerLM) -> nn.Module:
    """The same Llama of `litgpt`, whose RoPE turns halves, too."""
    from litgpt import GPT, Config

    config = Config(
        block_size=TS17M.context_length,
        padded_vocab_size=TS17M.vocab_size,
        vocab_size=TS17M.vocab_size,
        n_layer=TS17M.num_layers,
        n_head=TS17M.num_heads,
        n_embd=TS17M.d_model,
        intermediate_size=TS17M.d_ff,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=TS17M.norm_eps,
        mlp_class_name="LLaMAMLP",
    )
    model = GPT(config)
    model.load_state_dict(dict(litgpt_state(ours.state_dict())))
    return model


def litgpt_state(state: dict[str, Tensor]) -> Any:
    """Our tensors under the names of `litgpt`: queries, keys and values in one matrix."""
    yield "transformer.wte.weight", state["token_embeddings.weight"]
    yield "transformer.ln_f.weight", state["ln_final.weight"]
    yield "lm_head.weight", state["lm_head.weight"]
    names = {"ln1": "norm_1", "ln2": "norm_2", "attn.output_proj": "attn.proj"}
    names |= {"ffn.w1": "mlp.fc_1", "ffn.w2": "mlp.proj", "ffn.w3": "mlp.fc_2"}
    for index in range(TS17M.num_layers):
        before, after = f"layers.{index}.", f"transformer.h.{index}."
        query, key, value = (state[f"{before}attn.{part}_proj.weight"] for part in "qkv")
        yield f"{after}attn.qkv.weight", torch.cat([halves(query), halves(key), value])
        for ours, theirs in names.items():
            yield f"{after}{theirs}.weight", state[f"{before}{ours}.weight"]


def logits_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Torch's cross-entropy of the logits."""
    logits = model(inputs).float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


ENGINES = {
    "nnparts": Engine("nnparts", "ours, `batch_loss`", lambda m: m, batch_loss, our_generate),
    "transformers": Engine(
        "transformers",
        "LlamaForCausalLM, sdpa",
        huggingface,
        huggingface_loss,
        huggingface_generate,
    ),
    "litgpt": Engine("litgpt", "GPT as Llama; only where it is installed", litgpt, logits_loss),
}
