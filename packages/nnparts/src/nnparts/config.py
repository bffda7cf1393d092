"""The numbers and choices that define a transformer."""

import dataclasses
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

from nnparts.checks import is_number, is_positive
from nnparts.feed_forward import default_d_ff
from nnparts.rope_scaling import RopeScaling

Norm = Literal["pre", "post", "none"]
Positions = Literal["rope", "learned", "none"]
FeedForwardKind = Literal["swiglu", "silu", "gelu", "relu2"]

_COUNTS = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads")
_DEFAULTED_COUNTS = ("d_ff", "num_kv_heads", "head_dim")
_SWITCHES = ("qk_norm", "tied_embeddings", "residual_init_scaling")
_CHOICES = {"norm": Norm, "positions": Positions, "feed_forward": FeedForwardKind}


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a `TransformerLM`, checked when made.

    Attributes:
        vocab_size: number of token ids.
        context_length: most positions a sequence may have.
        d_model: width of the residual stream.
        num_layers: number of blocks.
        num_heads: heads of queries in each.
        d_ff: width inside the feed-forward networks; None is replaced by `default_d_ff(d_model)`
            for "swiglu", else by 4 d_model.
        rope_theta: base of RoPE's frequencies, no unit.
        num_kv_heads: heads of keys and values, each shared by num_heads / num_kv_heads heads of
            queries; None is replaced by `num_heads`.
        head_dim: width of one head; None is replaced by d_model / num_heads, which must be whole.
        norm: where a block normalizes: "pre" before each sublayer, "post" after each residual sum,
            "none" nowhere (nor before the head).
        norm_eps: added to the mean square in every RMSNorm.
        qk_norm: RMSNorm over each head's queries and keys, before they are rotated.
        positions: "rope" rotates queries and keys, "learned" adds a row of a table to each
            embedding, "none" leaves order to the causal mask alone.
        rope_scaling: how RoPE is stretched past the trained context; None: not at all.
        feed_forward: "swiglu", or W2 f(W1 x) with f = SiLU, GELU or the squared ReLU.
        tied_embeddings: the head's weight is the embedding table.
        logit_soft_cap: logits are cap tanh(logits / cap), in (-cap, cap); None: as they are.
        dropout: share of the numbers dropped in training after the embedding, on attention's
            probabilities, and at each sublayer's end.
        residual_init_scaling: the matrices that write into the residual stream begin smaller by
            sqrt(2 num_layers), as in GPT-2.
        sliding_window: positions that a query sees, itself and those right before it; None: all
            before it.

    Raises:
        ValueError: a field, or two together, make no model; the message names them.
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int | None = None
    rope_theta: float = 10_000.0
    _: KW_ONLY
    num_kv_heads: int | None = None
    head_dim: int | None = None
    norm: Norm = "pre"
    norm_eps: float = 1e-5
    qk_norm: bool = False
    positions: Positions = "rope"
    rope_scaling: RopeScaling | None = None
    feed_forward: FeedForwardKind = "swiglu"
    tied_embeddings: bool = False
    logit_soft_cap: float | None = None
    dropout: float = 0.0
    residual_init_scaling: bool = False
    sliding_window: int | None = None

    def __post_init__(self) -> None:
        """Check every field, fill in those left at None, then check fields against each other."""
        for name in _COUNTS:
            self._require_count(name)
        # Filled in here, not when used: a config that was saved then keeps its meaning.
        self._fill_in("d_ff", self._default_d_ff)
        self._fill_in("num_kv_heads", self.num_heads)
        if self.head_dim is None and self.d_model % self.num_heads:
            raise ValueError(
                "d_model must be divisible by num_heads unless head_dim is given,"
                f" got d_model={self.d_model} and num_heads={self.num_heads}"
            )
        self._fill_in("head_dim", self.d_model // self.num_heads)
        for name in _DEFAULTED_COUNTS:
            self._require_count(name)
        self._check_choices()
        self._check_numbers()
        self._check_together()

    @property
    def _default_d_ff(self) -> int:
        return default_d_ff(self.d_model) if self.feed_forward == "swiglu" else 4 * self.d_model

    def _fill_in(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _require_count(self, name: str) -> None:
        count = getattr(self, name)
        if type(count) is not int or count < 1:
            raise ValueError(f"{name} must be a positive integer, got {count!r}")

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {value!r}")
        for name in _SWITCHES:
            value = getattr(self, name)
            if type(value) is not bool:  # "false", from a command line, would be true
                raise ValueError(f"{name} must be True or False, got {value!r}")

    def _check_numbers(self) -> None:
        for name in ("rope_theta", "norm_eps", "logit_soft_cap"):
            value = getattr(self, name)
            is_left_out = name == "logit_soft_cap" and value is None
            if not is_left_out and not is_positive(value):
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        if not (is_number(self.dropout) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if self.sliding_window is not None:
            self._require_count("sliding_window")

    def _check_together(self) -> None:
        if self.num_heads % self.num_kv_heads:  # pyright: ignore[reportOperatorIssue] (filled in)
            raise ValueError(
                "num_heads must be divisible by num_kv_heads, got"
                f" num_heads={self.num_heads} and num_kv_heads={self.num_kv_heads}"
            )
        scaling = self.rope_scaling
        if not isinstance(scaling, RopeScaling | None):  # pyright: ignore[reportUnnecessaryIsInstance] (of JSON, it may be text)
            raise ValueError(f"rope_scaling must be a RopeScaling or None, got {scaling!r}")
        if scaling is not None and scaling.kind == "yarn" and self.rope_theta <= 1:
            raise ValueError(
                "rope_scaling of kind 'yarn' needs rope_theta above 1, got"
                f" rope_theta={self.rope_theta!r}"
            )
        if self.positions != "rope":
            if scaling is not None:
                raise ValueError(
                    f"rope_scaling needs positions='rope', got positions={self.positions!r}"
                )
        elif self.head_dim % 2:  # pyright: ignore[reportOptionalOperand] (filled in)
            raise ValueError(
                "RoPE turns pairs: head_dim (d_model / num_heads) must be even with"
                f" positions='rope', got head_dim={self.head_dim} from d_model={self.d_model} and"
                f" num_heads={self.num_heads}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "TransformerConfig":
        """The config that `to_dict` described, or that an earlier version did.

        Raises:
            ValueError: a field is unknown, or one without a default is missing.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(fields.keys() - known.keys())
        required = {name for name, field in known.items() if field.default is dataclasses.MISSING}
        missing = sorted(required - fields.keys())
        if unknown or missing:
            raise ValueError(
                f"a TransformerConfig has the fields {sorted(known)}, got {unknown=} and {missing=}"
            )
        scaling = fields.get("rope_scaling")
        if isinstance(scaling, dict):
            fields = {**fields, "rope_scaling": RopeScaling.from_dict(scaling)}
        return cls(**fields)
