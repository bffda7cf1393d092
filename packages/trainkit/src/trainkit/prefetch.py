"""Batches made ahead, on threads, while the step before is computed."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from trainkit.batch import Batch

_AHEAD = 2  # batches a worker: one being made, one ready


class Prefetcher:
    """The batches of steps `start`, `start + 1`, ..., each ready by the time it is asked for.

    The batches are those that `make` gives, in order, whatever the number of workers. Threads, not
    processes: numpy lets others run while it copies, nothing is sent from process to process, and
    nothing outlives this one.

    Args:
        make: gives the batch of a step; a pure function of it.
        start: the first step.
        stop: the step before which to end.
        num_workers: threads that make batches; 0 makes each when it is asked for.

    Attributes:
        wait_seconds: how long the consumer has waited for batches, since it was last set to 0.

    Raises:
        ValueError: `num_workers` is negative.
    """

    def __init__(
        self, make: Callable[[int], Batch], *, start: int, stop: int, num_workers: int = 1
    ) -> None:
        if num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, got {num_workers}")
        self.wait_seconds = 0.0
        self._make, self._steps, self._num_workers = make, iter(range(start, stop)), num_workers
        self._pool = ThreadPoolExecutor(num_workers, "batches") if num_workers else None
        self._ahead: deque[Future[Batch]] = deque()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            StopIteration: all are made.
            Exception: whatever `make` raised for this step.
        """
        begin = time.perf_counter()
        try:
            if self._pool is None:
                return self._make(next(self._steps))
            self._submit(self._pool)
            if not self._ahead:
                raise StopIteration
            batch = self._ahead.popleft().result()
            self._submit(self._pool)
            return batch
        finally:
            self.wait_seconds += time.perf_counter() - begin

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        while len(self._ahead) < _AHEAD * self._num_workers:
            step = next(self._steps, None)
            if step is None:
                return
            self._ahead.append(pool.submit(self._make, step))

    def close(self) -> None:
        """Forget the batches made ahead, and end the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
