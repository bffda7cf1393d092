"""A word where the machine has much other work."""

import os
from collections.abc import Callable

import torch


def warn_of_other_work(device: torch.device, report: Callable[[str], None]) -> None:
    """Tells how to compute on a machine whose processors others use, too.

    Threads divide each operation and wait for the last of them. Where that one waits for a
    processor, all do: with a load of 8 to 10 on two processors the default run made 300 to 370
    tokens/s on two threads and 2,300 to 4,000 on one.
    """
    threads, processors = torch.get_num_threads(), os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if device.type == "cpu" and threads > 1 and load > 2 * processors:
        report(
            f"[yellow]warning[/]     other work keeps this machine busy: a load of {load:.1f} on"
            f" {processors} processors; {threads} threads then wait for one another, and"
            " OMP_NUM_THREADS=1 may be many times as fast"
        )
