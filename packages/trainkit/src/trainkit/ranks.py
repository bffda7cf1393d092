"""The processes that train one model together, as torchrun starts them: what they agree on."""

import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Int64
from optimkit import is_sharded
from torch import Tensor, nn
from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage] (documented)
from torch.distributed.rendezvous import rendezvous

from trainkit.interrupt import Terminated, remembered_signals
from trainkit.model_state import model_tensors

T = TypeVar("T")

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes an element


class FirstRankFailedError(RuntimeError):
    """The first rank met an error, which it tells itself, and the others need not go on."""


class Ranks:
    """All processes of a run, of which this is one; by itself a run of one process.

    What a run decides (to stop, to skip, that it is stale) all ranks must decide alike, or one
    would wait for the others for ever. So every number that a decision hangs on is first summed
    over the ranks, and a signal travels with the next such sum.

    Each method, properties apart, must be called by all ranks in the same order. Numbers go over
    the CPU (gloo) on every device.

    Args:
        rank: the number of this process.
        size: how many there are; above 1 inside of `join_ranks` alone.
        group: over which they talk; None: torch's default one.

    Raises:
        ValueError: there is no such rank.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, group: "dist.ProcessGroup | None" = None
    ) -> None:
        if not 0 <= rank < size:
            raise ValueError(f"rank must be in [0, size), got {rank=} and {size=}")
        self.rank, self.size, self.group = rank, size, group
        self._signals: list[int] = []  # that came to this rank
        self._stop: type[KeyboardInterrupt] | None = None  # what all ranks know that one was told

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes and speaks for all."""
        return self.rank == 0

    @property
    def are_many(self) -> bool:
        """Whether there is anybody to agree with."""
        return self.size > 1

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each of `values` summed over the ranks, in fp64; the same on all, bit for bit."""
        if not self.are_many:
            return list(values)
        came = [self._signals.count(number) for number in (signal.SIGINT, signal.SIGTERM)]
        total = torch.tensor([*values, *came], dtype=torch.float64)
        dist.all_reduce(total, group=self.group)
        *sums, interrupts, terminations = total.tolist()
        if interrupts or terminations:
            self._stop = Terminated if terminations else KeyboardInterrupt
        return sums

    def gather(self, values: Sequence[int]) -> list[int]:
        """The `values` of all ranks, those of the first first; as many on each."""
        if not self.are_many:
            return list(values)
        mine = torch.tensor(values, dtype=torch.int64)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine, group=self.group)
        return torch.cat(parts).tolist()

    def wait(self) -> None:
        """Go on when all have come here."""
        self.sum([])

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first rank, where alone it is called.

        Raises:
            FirstRankFailedError: it raised there; on the first rank, what it raised.
        """
        box: list[T | None] = [None]
        with self.first_goes_first():
            if self.is_first:
                box = [make()]
        if self.are_many:
            dist.broadcast_object_list(box, group=self.group)
        [value] = box
        return value  # pyright: ignore[reportReturnType] (the first's)

    def apart(self) -> "Ranks":
        """The same ranks, who can talk in another thread at the same time."""
        if not self.are_many:
            return self
        group = dist.new_group(backend="gloo")
        assert isinstance(group, dist.ProcessGroup)  # of all ranks, so of this one
        return Ranks(self.rank, self.size, group)

    def together(self, do: Callable[[], T]) -> list[T]:
        """What `do` gives on each rank, that of the first first.

        Raises:
            OSError: it raised that on one of them; it is the first's error on all.
        """
        if not self.are_many:
            return [do()]
        mine: T | OSError
        try:
            mine = do()
        except OSError as error:
            mine = error
        results: list[T | OSError | None] = [None] * self.size
        dist.all_gather_object(results, mine, group=self.group)
        for result in results:
            if isinstance(result, OSError):
                raise result
        return results  # pyright: ignore[reportReturnType] (each is a T now)

    @contextmanager
    def first_goes_first(self) -> Generator[None]:
        """The first rank goes through the block, then the others do: they find what it wrote.

        Raises:
            FirstRankFailedError: on the others, where the first did not come through.
        """
        if self.is_first:
            try:
                yield
            except BaseException:
                self.sum([1.0])
                raise
            self.sum([0.0])
        else:
            if any(self.sum([0.0])):
                raise FirstRankFailedError("the first rank failed; it says why")
            yield

    @contextmanager
    def stopped_together(self) -> Generator[None]:
        """Keep Ctrl-C and SIGTERM that come inside the block for `raise_if_stopped`.

        As many as come: torchrun passes on a Ctrl-C that the terminal has sent to the ranks, too,
        so that a second one means no haste; half a minute later it kills. One that comes too late
        to be agreed on is raised at the end. Does nothing where there is one rank.
        """
        if not self.are_many:
            yield
            return
        self._stop = None
        with remembered_signals() as self._signals:
            yield
        if self._signals and self._stop is None:
            signal.raise_signal(self._signals[0])

    def raise_if_stopped(self) -> None:
        """Raise what one rank was told by a signal, once a sum has told it to all.

        Raises:
            KeyboardInterrupt: for Ctrl-C; for SIGTERM its kind `Terminated`.
        """
        if self._stop is not None:
            raise self._stop

    def share(self, model: nn.Module) -> None:
        """Put the weights that the first rank has into the `model` of all."""
        if self.are_many:
            for tensor in model_tensors(model).values():
                dist.broadcast(tensor.detach(), 0, group=self.group)

    def check_equal(self, step: int, model: nn.Module) -> None:
        """Compare the step and the weights, by the sum of each tensor's bits as integers.

        Of weights that are divided among the ranks nothing is there twice to be compared.

        Raises:
            ValueError: they are not the same on all ranks; the tensors are named.
        """
        if not self.are_many:
            return
        tensors = {n: each for n, each in model_tensors(model).items() if not is_sharded(each)}
        sums = [_bit_sum(tensor) for tensor in tensors.values()]
        mine = torch.stack([torch.tensor(step), *(each.cpu() for each in sums)])
        extremes = torch.cat([mine, -mine])
        dist.all_reduce(extremes, dist.ReduceOp.MAX, group=self.group)
        greatest, least = extremes[: len(mine)], -extremes[len(mine) :]
        names = ["the step", *tensors]
        differing = [names[index] for index in (greatest != least).nonzero().flatten().tolist()]
        if differing:
            raise ValueError(
                f"the {self.size} ranks differ in {', '.join(differing)}; all must build the model"
                " from one seed, load one checkpoint and see the same run_dir"
            )


@contextmanager
def join_ranks() -> Generator[Ranks]:
    """Join the ranks that torchrun has started; one alone where it has not.

    Reads its environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT). Tensors on the CPU travel
    by gloo, on CUDA by NCCL, each rank on the device that torch.cuda.set_device was told before.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    store, *_ = next(rendezvous("env://"))
    # torchrun's own store outlives a restart, and with it the addresses of the ranks before it:
    # torch 2.15 tries them, and fails, unless torchrun runs with --standalone or --rdzv-backend.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore(f"attempt-{attempt}", store),
        rank=rank,
        world_size=size,
    )
    try:
        yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()


def _bit_sum(tensor: Tensor) -> Int64[Tensor, ""]:
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    bits = parts.detach().contiguous().view(_BITS[parts.element_size()])
    return bits.sum(dtype=torch.int64)
