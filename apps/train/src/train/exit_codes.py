"""What the exit codes of `train` mean, but for 0, and 128 + the number of a signal."""

FAILED = 1
"""Bad input, a full disk: the last line says what."""
DIVERGED = 3
"""The loss or the gradient became no number, or spiked, and `on_anomaly` is to stop. (2 is said of
a flag that does not exist.)"""
