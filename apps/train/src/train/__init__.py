"""Token files to checkpoints, curves and metrics: the app `train`."""

import time

BEGUN = time.perf_counter()  # of the command: what is imported next takes seconds
