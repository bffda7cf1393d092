"""What training gives back."""


class Vocabulary(tuple[dict[int, bytes], list[tuple[bytes, bytes]]]):
    """A learned vocabulary: `vocab, merges = train_bpe(...)`.

    A named tuple by hand: importing `typing` takes longer than training on a small file.
    """

    __slots__ = ()

    def __new__(cls, vocab: dict[int, bytes], merges: list[tuple[bytes, bytes]]) -> "Vocabulary":
        """A vocabulary of these two."""
        return super().__new__(cls, (vocab, merges))

    @property
    def vocab(self) -> dict[int, bytes]:
        """From id to bytes: special tokens, single bytes, one token for each merge."""
        return self[0]

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """(left, right) in the order learned."""
        return self[1]

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

    def __getnewargs__(self) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
        return (self.vocab, self.merges)

    def __repr__(self) -> str:
        return f"<Vocabulary: {len(self.vocab)} tokens, {len(self.merges)} merges>"
