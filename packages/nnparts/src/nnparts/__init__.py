"""The parts of a transformer language model, each from its formula."""
