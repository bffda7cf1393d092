"""What `sample` can be told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SampleConfig:
    """Checkpoint and tokenizer to text: lets a trained model continue a prompt."""

    run: Path | None = None
    """Run directory that `train` wrote; if not given, the newest one under runs/."""
    prompt: str = ""
    """Text to continue; with none, the model begins a document of its own."""
    max_new_tokens: int = 256
    """Tokens to write at most; the text ends earlier where the model ends its document."""
    temperature: float = 0.8
    """What logits are divided by: below 1 safer, above 1 wilder; 0 always takes the likeliest."""
    top_p: float | None = 0.95
    """Draw from the fewest tokens that hold this much probability (nucleus sampling); 1 for all."""
    top_k: int | None = None
    """Draw from this many likeliest tokens only; all if not given."""
    min_p: float | None = None
    """Draw from tokens at least this many times as likely as the likeliest; all if not given."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that came before unlikelier, the prompt's too; 1.2 is usual."""
    stop: tuple[str, ...] = ()
    """End a text before any of these, one or more, each an argument of its own."""
    seed: int = 0
    """Equal seeds write equal texts."""
    num_samples: int = 1
    """Texts to write for the one prompt."""
    step: int | None = None
    """Which checkpoint, by its step; the latest if not given."""
    device: str = "auto"
    """cpu, cuda, mps, or auto: the accelerator if there is one."""
