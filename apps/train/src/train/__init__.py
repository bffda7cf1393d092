"""Token files to checkpoints, curves and metrics."""
