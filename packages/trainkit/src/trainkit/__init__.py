"""Token files, batches, checkpoints, the training loop and decoding."""
