"""How arguments are refused."""


def require(holds: bool, needed: str, **got: object) -> None:
    """Raise a `ValueError` that says what was `needed` and what came, unless it `holds`."""
    if not holds:
        values = ", ".join(f"{name}={value!r}" for name, value in got.items())
        raise ValueError(f"{needed}, got {values}")
