"""What a training run is told: one dataclass, every field with its unit and its reason."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

OptimizerName = Literal["adamw", "muon"]
ScheduleName = Literal["cosine", "wsd", "linear", "constant"]
AnomalyAction = Literal["stop", "skip", "rollback"]
DiskFullAction = Literal["stop", "continue"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Model and data are told elsewhere; the context length is the model's, and how the steps are
    computed is told by `Execution`.

    Raises:
        ValueError: fields that are out of range or contradict each other, by name.
    """

    max_steps: int = 1_000
    """Updates of the weights, in all."""
    batch_size: int = 32
    """Sequences that one update learns from, each of the model's context length."""
    gradient_accumulation_steps: int = 1
    """Parts that a batch is computed in, to save memory; what is learnt does not depend on it."""
    optimizer: OptimizerName = "adamw"
    """adamw, or muon: Muon for the hidden matrices, AdamW for the rest, at the same learning rate.
    It learns more an update and takes longer, least where bf16 products are fast; embeddings and
    head then want rates of their own (`embedding_lr_scale`, `outer_lr_scale`)."""
    schedule: ScheduleName = "cosine"
    """Way of the learning rate from `max_lr` to `min_lr`: half a cosine; wsd, level until the last
    `decay_fraction`, so that the end can be decided late; linear; constant, which stays up."""
    max_lr: float = 1e-3
    """Learning rate at the end of warm-up. 1e-3 suits AdamW on models of some 10 M parameters."""
    outer_lr_scale: float = 1.0
    """Learning rate of what stands outside the layers, embeddings and head, as a share of theirs.
    At 1 one rate is for all; less keeps more of what a start from bigrams has taught them."""
    embedding_lr_scale: float | None = None
    """The same of embeddings alone, tied to a head or not; None: as `outer_lr_scale`."""
    min_lr: float = 1e-4
    """Learning rate from `decay_steps` on, unless constant; a tenth of `max_lr` is the custom."""
    warmup_steps: int | None = None
    """Updates of linear warm-up, for Adam's second moments mean little before; None: a twentieth
    of the schedule."""
    decay_steps: int | None = None
    """Updates until the learning rate has come down to `min_lr`; None: `max_steps`."""
    decay_fraction: float = 0.2
    """Share of `decay_steps`, at their end, in which wsd comes down."""
    weight_decay: float = 0.1
    """Share of a weight that goes at each update, times the learning rate; for matrices, not for
    gains and embeddings."""
    momentum: float = 0.95
    """Muon's: how much of the gradients' mean stays at each update."""
    beta1: float = 0.9
    """AdamW's: how much of the gradients' mean stays at each update."""
    beta2: float = 0.95
    """AdamW's: how much of the squared gradients' mean stays; Adam's 0.999 is slow to forget a
    loss spike."""
    eps: float = 1e-8
    """AdamW's: added to the root of the squared gradients' mean."""
    max_grad_norm: float = 1.0
    """Norm that gradients are scaled down to where theirs is greater."""
    ema_decay: float | None = None
    """How much of the averaged weights stays at each update (0.999: the mean of some thousand
    updates); they are evaluated and saved beside the others. None: none are kept."""
    on_anomaly: AnomalyAction = "stop"
    """What to do about a loss or gradient that is not finite, or a spike: stop; skip the update;
    or rollback, go back to the last checkpoint and pass over the batches since. skip and rollback
    read the loss at each update, which makes a GPU wait for it; stop finds the first bad update
    when the loss is next logged, and stops before anything is saved."""
    spike_sigmas: float | None = None
    """A loss is a spike if it lies so many standard deviations above the mean of the last
    `spike_window`; read at each update, too. None: only what is not finite is an anomaly."""
    spike_window: int = 100
    """Updates whose losses say what is usual; before there are so many, nothing is a spike."""
    max_anomalies: int = 10
    """Updates skipped in a row, or rollbacks in all, after which the next anomaly stops the run."""
    eval_every: int = 500
    """Updates between evaluations. The last update is always followed by one."""
    eval_tokens: int | None = None
    """Tokens of the validation data, from its start, that an evaluation predicts; None: all."""
    patience: int | None = None
    """Evaluations in a row without a new least validation loss that end the run; None: none do."""
    checkpoint_every: int = 500
    """Updates between checkpoints. The last update is always followed by one."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    keep_checkpoints_every: int | None = None
    """Checkpoints whose step this divides are kept for good; None: none are."""
    keep_best_checkpoint: bool = False
    """Whether the checkpoint of the least validation loss is kept, too; it must be evaluated at
    the step that it is saved at."""
    on_disk_full: DiskFullAction = "stop"
    """What to do where a checkpoint does not fit on the disk: stop; or continue, with a warning,
    and try the next one; the last one must fit. The checkpoints before stay in either case."""
    num_workers: int = 1
    """Threads that make batches ahead; the batches are the same for any number, 0 included."""
    log_every: int = 10
    """Updates between lines of metrics; what `on_anomaly` says of stop is noticed then."""
    seed: int = 0
    """Of the data order and of whatever the model draws in training."""

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in _AT_LEAST_ZERO:
            self._require(getattr(self, name) >= 0, name, "at least 0")
        for name, choices in _CHOICES.items():
            self._require(getattr(self, name) in choices, name, f"one of {choices}")
        for name in ("beta1", "beta2", "momentum"):
            self._require(0 <= getattr(self, name) < 1, name, "in [0, 1)")
        self._require(0 <= self.decay_fraction <= 1, "decay_fraction", "in [0, 1]")
        for name in ("max_lr", "weight_decay"):
            self._require(math.isfinite(getattr(self, name)), name, "finite")
        self._require(self.outer_lr_scale > 0, "outer_lr_scale", "above 0")
        scale = self.embedding_lr_scale
        self._require(scale is None or scale > 0, "embedding_lr_scale", "above 0 or None")
        self._require(self.max_grad_norm > 0, "max_grad_norm", "above 0 (inf clips nothing)")
        for name in ("eval_tokens", "keep_checkpoints_every", "patience"):
            value = getattr(self, name)
            self._require(value is None or value >= 1, name, "at least 1 or None")
        decay, sigmas = self.ema_decay, self.spike_sigmas
        self._require(decay is None or 0 <= decay < 1, "ema_decay", "in [0, 1) or None")
        self._require(sigmas is None or sigmas > 0, "spike_sigmas", "above 0 or None")
        self._require(self.spike_window >= 2, "spike_window", "at least 2")
        self._check_together()

    @property
    def micro_batch_size(self) -> int:
        """Sequences computed at once."""
        return self.batch_size // self.gradient_accumulation_steps

    @property
    def schedule_steps(self) -> int:
        """Updates until the learning rate has come down: `decay_steps`, or `max_steps`."""
        return self.max_steps if self.decay_steps is None else self.decay_steps

    @property
    def schedule_warmup_steps(self) -> int:
        """Updates of linear warm-up: `warmup_steps`, or a twentieth of `schedule_steps`."""
        return self.schedule_steps // 20 if self.warmup_steps is None else self.warmup_steps

    @property
    def schedule_stable_steps(self) -> int:
        """Updates until wsd begins to come down."""
        return round(self.schedule_steps * (1 - self.decay_fraction))

    @property
    def reads_each_loss(self) -> bool:
        """Whether an anomaly must be known before the update is made."""
        return self.on_anomaly != "stop" or self.spike_sigmas is not None

    def _check_together(self) -> None:
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                "batch_size must be divisible by gradient_accumulation_steps, got "
                f"batch_size={self.batch_size} and "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )
        if self.min_lr > self.max_lr:
            raise ValueError(
                f"min_lr must be at most max_lr, got min_lr={self.min_lr} and max_lr={self.max_lr}"
            )
        if not 0 <= self.schedule_warmup_steps <= self.schedule_steps:
            raise ValueError(
                "warmup_steps must be from 0 to decay_steps (max_steps where that is None), got "
                f"warmup_steps={self.warmup_steps} and {self.schedule_steps}"
            )

        if self.schedule == "wsd" and self.schedule_warmup_steps > self.schedule_stable_steps:
            raise ValueError(
                "warmup_steps must end before the last decay_fraction of decay_steps, got "
                f"warmup_steps={self.schedule_warmup_steps}, decay_steps={self.schedule_steps} and "
                f"decay_fraction={self.decay_fraction}"
            )

    def _require(self, holds: bool, name: str, requirement: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {requirement}, got {getattr(self, name)!r}")


_AT_LEAST_ONE = (
    "max_steps",
    "batch_size",
    "gradient_accumulation_steps",
    "eval_every",
    "checkpoint_every",
    "keep_checkpoints",
    "log_every",
    "max_anomalies",
)
_CHOICES = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "on_anomaly": get_args(AnomalyAction),
    "on_disk_full": get_args(DiskFullAction),
}
_AT_LEAST_ZERO = ("max_lr", "min_lr", "weight_decay", "eps", "seed", "num_workers")
