"""What training gives back."""

from typing import NamedTuple


class Vocabulary(NamedTuple):
    """A learned vocabulary: `vocab, merges = train_bpe(...)`.

    Attributes:
        vocab: From id to bytes: special tokens, single bytes, one token for each merge.
        merges: (left, right) in the order learned.
    """

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]

    def truncate(self, vocab_size: int) -> "Vocabulary":
        """The vocabulary that training with a smaller `vocab_size` would have learned.

        Merges are learned one after the other, and none looks at how many are wanted: so one
        training yields every smaller vocabulary.

        Raises:
            ValueError: `vocab_size` leaves no room for the special tokens and single bytes.
        """
        minimum = len(self.vocab) - len(self.merges)
        if vocab_size < minimum:
            raise ValueError(
                f"{vocab_size=}, but the special tokens and single bytes alone need {minimum}"
            )
        vocab = {token_id: token for token_id, token in self.vocab.items() if token_id < vocab_size}
        return Vocabulary(vocab, self.merges[: vocab_size - minimum])
