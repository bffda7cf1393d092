"""The whole model against the Llama of `transformers` on the same random weights (parity)."""

import pytest
import torch
from nnparts import TransformerConfig, TransformerLM, functional
from transformers import LlamaConfig, LlamaForCausalLM

NAMES = {
    "token_embeddings": "model.embed_tokens",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "ln1": "input_layernorm",
    "ln2": "post_attention_layernorm",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
    "ln_final": "model.norm",
    "lm_head": "lm_head",
}


def halves_from_pairs(weight, num_heads):
    """Reorder the rows of each head from (pair, member) to (member, pair), as HF rotates."""
    pairs = weight.unflatten(0, (num_heads, -1, 2))
    return pairs.transpose(1, 2).flatten(0, 2)


def llama_state(ours):
    state = {}
    for name, weight in ours.state_dict().items():
        module, prefix = name.removesuffix(".weight"), ""
        if module.startswith("layers."):
            _, index, module = module.split(".", 2)
            prefix = f"model.layers.{index}."
        if module in ("attn.q_proj", "attn.k_proj"):
            weight = halves_from_pairs(weight, ours.config.num_heads)
        state[f"{prefix}{NAMES[module]}.weight"] = weight
    return state


def twins(dtype):
    config = TransformerConfig(97, 32, 48, 3, 4, 80, rope_theta=500.0)
    ours = TransformerLM(config, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for name, parameter in ours.named_parameters():
        if "ln" in name:  # gains of 1 would hide a swapped norm
            torch.nn.init.uniform_(parameter, 0.5, 2.0, torch.Generator().manual_seed(len(name)))
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.context_length,
            hidden_size=config.d_model,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_heads,
            intermediate_size=config.d_ff,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=False,
        )
    ).to(dtype)
    theirs.load_state_dict(llama_state(ours), strict=True)
    return ours, theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_are_llamas(dtype):
    ours, theirs = twins(dtype)
    token_ids = torch.randint(97, (3, 32), generator=torch.Generator().manual_seed(1))
    # 1e-5 in fp64 too: both take cos and sin from fp32 tables.
    torch.testing.assert_close(ours(token_ids), theirs(token_ids).logits, atol=1e-5, rtol=1e-5)


def test_loss_and_gradients_are_llamas():
    ours, theirs = twins(torch.float32)
    token_ids = torch.randint(97, (3, 32), generator=torch.Generator().manual_seed(1))
    our_loss = functional.cross_entropy(ours(token_ids[:, :-1]), token_ids[:, 1:])
    their_loss = theirs(token_ids, labels=token_ids).loss
    torch.testing.assert_close(our_loss, their_loss, atol=1e-5, rtol=1e-5)
    our_loss.backward()
    their_loss.backward()
    for our_weight, their_weight in [
        (ours.lm_head.weight, theirs.lm_head.weight),
        (ours.token_embeddings.weight, theirs.model.embed_tokens.weight),
        (ours.layers[0].ffn.w1.weight, theirs.model.layers[0].mlp.gate_proj.weight),
        (ours.layers[1].attn.v_proj.weight, theirs.model.layers[1].self_attn.v_proj.weight),
        (ours.layers[2].ln1.weight, theirs.model.layers[2].input_layernorm.weight),
    ]:
        torch.testing.assert_close(our_weight.grad, their_weight.grad, atol=1e-5, rtol=1e-4)
