"""How arguments are refused."""

import math


def require(holds: bool, needed: str, **got: object) -> None:
    """Raise a `ValueError` that says what was `needed` and what came, unless it `holds`."""
    if not holds:
        values = ", ".join(f"{name}={value!r}" for name, value in got.items())
        raise ValueError(f"{needed}, got {values}")


def require_not_negative(**values: float) -> None:
    """Raise a `ValueError` naming the first of `values` that is negative or not finite."""
    for name, value in values.items():
        require(0 <= value < math.inf, f"{name} must be finite and not negative", **{name: value})


def require_betas(betas: tuple[float, float]) -> None:
    """Raise a `ValueError` unless both `betas` may weight a moving average."""
    require(all(0 <= beta < 1 for beta in betas), "both betas must lie in [0, 1)", betas=betas)
