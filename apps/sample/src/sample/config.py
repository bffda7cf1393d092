"""What `sample` can be told."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction


@dataclass(frozen=True)
class SampleConfig:
    """Checkpoint and tokenizer to text: lets a trained model continue a prompt."""

    run: UseAppendAction[tuple[Path, ...]] = ()
    """Run directory that `train` wrote; if not given, the newest one under runs/. More than one,
    each after a `--run` of its own, are to be compared with --web."""
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
    web: bool = False
    """Open a page for the browser instead: tokens in colours, what may come next, and texts, for
    one run or two; the flags above but --run, --step and --device are set there."""
    host: str = "127.0.0.1"
    """Address that the page is served at: by default to this machine alone, 0.0.0.0 to all."""
    port: int = 7860
    """Port of the page; 0 for any that is free."""
