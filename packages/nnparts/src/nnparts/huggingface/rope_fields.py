"""RoPE's part of a Hugging Face `config.json`.

Two layouts are read: `rope_theta` beside a `rope_scaling` that is null where nothing is stretched
(transformers 4), and `rope_parameters` with all in one (transformers 5). The older one is written,
since both read it. What the keys mean:
https://huggingface.co/docs/transformers/main/en/internal/rope_utils.
"""

import math
from typing import Any

from nnparts.config import TransformerConfig
from nnparts.rope_scaling import RopeScaling

_ORIGINAL = "original_max_position_embeddings"
# For each kind the keys that it has, and the fields of `RopeScaling` that they fill.
_SCALING_FIELDS = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        _ORIGINAL: "original_context_length",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
    "yarn": {
        "factor": "factor",
        _ORIGINAL: "original_context_length",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
    },
}
_REQUIRED = {"linear": {"factor"}, "llama3": _SCALING_FIELDS["llama3"].keys(), "yarn": {"factor"}}


def write_rope(config: TransformerConfig) -> dict[str, Any]:
    """The fields `rope_theta` and `rope_scaling` of a `config.json`."""
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_theta": config.rope_theta, "rope_scaling": None}
    fields = {
        theirs: getattr(scaling, ours) for theirs, ours in _SCALING_FIELDS[scaling.kind].items()
    }
    return {
        "rope_theta": config.rope_theta,
        "rope_scaling": {"rope_type": scaling.kind, **fields},
    }


def read_rope(fields: dict[str, Any]) -> tuple[float, RopeScaling | None]:
    """RoPE's base and its scaling, from all fields of a `config.json`.

    Raises:
        ValueError: a kind of scaling, or a key of one, that `RopeScaling` has no field for; or a
            key is missing.
    """
    layout: Any = fields.get("rope_scaling") or fields.get("rope_parameters") or {}
    if not isinstance(layout, dict):
        raise ValueError(f"RoPE's scaling must be an object or null, got {layout!r}")
    given: dict[str, Any] = {key: value for key, value in layout.items() if value is not None}
    theta = float(given.pop("rope_theta", fields["rope_theta"]))
    old_kind = given.pop("type", "default")
    kind = given.pop("rope_type", old_kind)
    _drop_neutral(given)
    if kind == "default" and not given:
        return theta, None
    if kind not in _SCALING_FIELDS:
        raise ValueError(
            f"RoPE's scaling must be one of {sorted(_SCALING_FIELDS)}, or 'default' and no more,"
            f" got rope_type={kind!r} with {given}"
        )
    if "original_context_length" in _SCALING_FIELDS[kind].values():
        # Where transformers looks: beside the scaling, then in it, then at the context of now.
        inside = given.get(_ORIGINAL, fields["max_position_embeddings"])
        given[_ORIGINAL] = fields.get(_ORIGINAL) or inside
    _check_keys(kind, given)
    arguments: dict[str, Any] = {"kind": kind}
    for key, value in given.items():
        arguments[_SCALING_FIELDS[kind][key]] = value if key == _ORIGINAL else float(value)
    return theta, RopeScaling(**arguments)


def _drop_neutral(given: dict[str, Any]) -> None:
    """Take out the keys that say what holds anyway; with another value they are unknown keys."""
    factor = max(given.get("factor", 1.0), 1.0)
    neutral = {
        "partial_rotary_factor": 1.0,
        "truncate": True,
        "attention_factor": 0.1 * math.log(factor) + 1,  # Peng et al. 2023, eq. 22: YaRN's own
    }
    for key, value in neutral.items():
        if key in given and math.isclose(given[key], value, rel_tol=1e-6):
            del given[key]


def _check_keys(kind: str, given: dict[str, Any]) -> None:
    unknown = {key: value for key, value in given.items() if key not in _SCALING_FIELDS[kind]}
    missing = sorted(_REQUIRED[kind] - given.keys())
    if unknown or missing:
        raise ValueError(
            f"RoPE's scaling {kind!r} is made from {sorted(_SCALING_FIELDS[kind])}:"
            f" nothing here does what {unknown} asks for, and {missing} must be given"
        )
