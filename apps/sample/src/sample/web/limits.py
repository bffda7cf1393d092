"""How much one visitor may ask for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class Limits:
    """What the page answers at most."""

    characters: int = 10_000
    """Characters of a prompt."""
    new_tokens: int = 1_024
    """Tokens of one text."""
    looks_per_minute: int = 900
    """Showing tokens and probabilities, by one address; typing asks for some 5 a second."""
    texts_per_minute: int = 60
    """Texts begun, by one address."""
    texts_at_once: int = 2
    """Texts written at a time, for all; others wait for their turn."""
    texts_waiting: int = 16
    """Texts that wait; more are refused."""

    def check_length(self, prompt: str) -> None:
        """Refuses a long prompt.

        Raises:
            ValueError: It has more than `characters`.
        """
        if len(prompt) > self.characters:
            raise ValueError(
                f"a prompt may have {self.characters:,} characters here, this has {len(prompt):,}"
            )


class RateLimit:
    """At most so many requests a minute from each address: all at once, or evenly spread.

    A request fills its address's bucket by 60 s / `per_minute`, time empties it, and none is
    admitted that would fill it above 60 s: the generic cell rate algorithm (ITU-T I.371, annex A).

    Args:
        per_minute: how many.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._empty_at: dict[str, float] = {}  # only of buckets that aren't empty
        self._lock = Lock()

    def admit(self, address: str) -> None:
        """Counts a request.

        Raises:
            ValueError: It is one too many; the message says how long to wait.
        """
        with self._lock:
            now = self._clock()
            self._empty_at = {a: at for a, at in self._empty_at.items() if at > now}
            empty_at = self._empty_at.get(address, now) + 60 / self._per_minute
            # A nanosecond for the rounding of the sum: else the last of the minute may not fit.
            if empty_at - now > 60 + 1e-9:
                raise ValueError(
                    f"at most {self._per_minute:,} of these a minute; the next one"
                    f" in {empty_at - now - 60:.1f} s"
                )
            self._empty_at[address] = empty_at
