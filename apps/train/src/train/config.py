"""What `train` can be told."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from nnparts import RopeScaling, TransformerConfig
from trainkit import Order, TrainConfig

# What `--help` shows, a screen of it; the other fields are left alone in most runs.
USUAL = (
    *("preset", "data", "out", "resume", "minutes", "device"),
    *("max_steps", "batch_size", "optimizer", "max_lr", "checkpoint_every", "seed"),
    *("context_length", "d_model", "num_layers", "num_heads", "d_ff"),
)


@dataclass(frozen=True)
class ModelShape(TransformerConfig):
    """The model, but for its vocabulary, which is the tokenizer's."""

    # A `TransformerConfig` as it is asked for, so that its fields and their words are the flags and
    # theirs. Nothing is filled in yet: d_ff must still follow a d_model that is typed.
    vocab_size: tyro.conf.Suppress[int] = 0
    context_length: int = 256
    d_model: int = 128
    num_layers: int = 4
    num_heads: int = 4
    # No flag: it stretches a model that was trained already.
    rope_scaling: tyro.conf.Suppress[RopeScaling | None] = None

    def __post_init__(self) -> None:
        """Nothing: `with_vocabulary` makes what is checked."""

    def with_vocabulary(self, vocab_size: int) -> TransformerConfig:
        """The whole description of a model.

        Raises:
            ValueError: As `TransformerConfig`.
        """
        return TransformerConfig.from_dict({**asdict(self), "vocab_size": vocab_size})


@dataclass(frozen=True)
class RunConfig:
    """Token files to checkpoints, a curve and metrics.

    Without --data and --resume it makes stories or fetches tinystories; tales need your own text.
    """

    preset: str = "stories"
    """Defaults to start from: stories (3 minutes), tales (6 on fast cores), tinystories."""
    data: Path | None = None
    """Directory that `prepare` wrote; data/PRESET if not given."""
    out: Path | None = None
    """Run directory to write; runs/PRESET, or the first free runs/PRESET-N, if not given."""
    resume: bool = False
    """Go on with the run in --out (if not given, the newest) from its latest checkpoint, as it
    was configured when it began."""
    allow: tuple[str, ...] = ()
    """With --resume: the fields that may differ from then on, as they are typed (max-lr), or all;
    the run's config.json keeps what they were. The model, the kind of optimizer, the batch size,
    minutes and preset never may."""
    fall_back: bool = False
    """With --resume: where the latest checkpoint is damaged, go on from the newest whole one."""
    minutes: float | None = None
    """Wall time from the command to the evaluation after the last update, instead of --max-steps,
    which is then found by a rehearsal; the schedule ends with it. The evaluation on all of the
    validation text, which follows, is not counted."""
    device: str = "auto"
    """cpu, cuda, mps, or auto: the accelerator if there is one."""
    precision: Literal["auto", "fp32", "fp32-onednn", "bf16", "fp16"] = "auto"
    """What matrix products are computed in; auto measures which is fastest on this machine. fp16,
    for devices without a fast bf16, scales the loss, and is never chosen by auto."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether to compile the training step; auto measures whether the run ends sooner with it."""
    sequences_at_once: int | None = None
    """Sequences that are computed at once, of those of an update; not given: on a CPU, as many as
    is measured to be fastest. It changes memory and time, not what is learned."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Of several ranks (torchrun): ddp, each holds the whole model; fsdp, each holds its part of
    weights, gradients and optimizer state, and borrows the rest while it computes; not compiled."""
    bigram_updates: int = 0
    """Updates that embeddings and head make on the counts of all pairs of tokens before the run
    begins: the model then starts as a bigram model. 60 take seconds for a vocabulary of 4,096, and
    minutes for 32,000, as they grow with its square. 0: it starts from nothing."""
    look_back_heads: int = 0
    """With --bigram-updates: heads of each of the first two layers that begin by looking 1, 2, 3
    and so on tokens back, so that more than pairs is learned from the first update on."""
    copying_head: bool = False
    """With --look-back-heads: one of them, in the second layer, begins by looking at what followed
    the same token before."""
    checkpoint_blocks: bool = False
    """Keep only the blocks' inputs for the backward pass and compute each block again there: a
    third more time, and memory for one block's activations instead of all."""
    order: Order = "random"
    """How windows of the text follow each other: random, each drawn anew from anywhere; epoch,
    side by side, each once before any comes again."""
    separate_documents: bool = False
    """Let no token see another document than its own, in training and evaluation: documents begin
    with the tokenizer's <|endoftext|>."""
    peak_flops: float | None = None
    """Operations a second of the device at its best, such as 989e12 for an H100 in bf16: the
    metrics then say what share of them the model's products take (mfu)."""
    wandb: bool = False
    """Also log to Weights & Biases; offline where there is no API key."""
    tensorboard: bool = False
    """Also log for TensorBoard, into the run's directory."""
    csv: bool = False
    """Also keep the metrics as a table, metrics.csv in the run's directory."""
    model: ModelShape = field(default_factory=ModelShape)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Refuses a time that is none, and fewer than no updates."""
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ValueError(f"minutes must be above 0 and finite, got {self.minutes}")
        if self.bigram_updates < 0:
            raise ValueError(f"bigram_updates must be at least 0, got {self.bigram_updates}")

    @property
    def data_directory(self) -> Path:
        """Where the token files are."""
        return self.data or Path("data") / self.preset
