"""Token files to checkpoints, curves and metrics: the app `train`."""
