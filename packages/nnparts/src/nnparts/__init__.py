"""The parts of a transformer language model, each from its formula.

One part a file: open `rope.py` for RoPE, `functional.py` for the operations. `TransformerLM` puts
them together as `TransformerConfig` says; `KVCache` makes it quick to sample from, and
`to_huggingface` and `from_huggingface` exchange models with `transformers`.
"""

from nnparts import accounting, functional, masks
from nnparts.attention import MultiheadSelfAttention
from nnparts.block import TransformerBlock
from nnparts.config import TransformerConfig
from nnparts.decoding_step import DecodingStep, can_step
from nnparts.embedding import Embedding
from nnparts.feed_forward import FeedForward, SwiGLU, default_d_ff
from nnparts.huggingface import from_huggingface, to_huggingface
from nnparts.kernels import Impl
from nnparts.kv_cache import KVCache
from nnparts.linear import Linear
from nnparts.model import TransformerLM
from nnparts.norm import RMSNorm
from nnparts.presets import PRESETS, preset
from nnparts.rope import RotaryPositionalEmbedding
from nnparts.rope_scaling import RopeScaling

__all__ = [
    "PRESETS",
    "DecodingStep",
    "Embedding",
    "FeedForward",
    "Impl",
    "KVCache",
    "Linear",
    "MultiheadSelfAttention",
    "RMSNorm",
    "RopeScaling",
    "RotaryPositionalEmbedding",
    "SwiGLU",
    "TransformerBlock",
    "TransformerConfig",
    "TransformerLM",
    "accounting",
    "can_step",
    "default_d_ff",
    "from_huggingface",
    "functional",
    "masks",
    "preset",
    "to_huggingface",
]
