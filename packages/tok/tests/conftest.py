"""What several test files need: the shared corpora, GPT-2's tokenizer, a small trained one."""

import os
from pathlib import Path

import pytest
from hypothesis import settings, strategies
from tok import Tokenizer

END = "<|endoftext|>"
CORPUS = (
    "The old king had three sons, and the youngest said: 'I'll go, and I won't come back.'\n"
    "Die Königin aß 42 Äpfel; она не знала, что делать。王様は三人の息子がいました。\r\n\r\n"
    "\tdef encode(self, text):  # 100 % 🙂\n        return self.ids[0]\n" + END
) * 20

# One text strategy: letters that merge, white space in runs, several scripts, parts of special
# tokens, and now and then anything at all.
CHARACTERS = strategies.one_of(
    strategies.sampled_from("aaabtehi  \n\r\t'sdlvm12.<|>endoftxé王🙂\u0300\u00a0\u2028\x00"),
    strategies.characters(exclude_categories=["Cs"]),
)
PIECES = strategies.one_of(
    CHARACTERS, strategies.sampled_from([END, END[:6], END[6:], "the", "'ll"])
)

settings.register_profile("default", deadline=None)  # this machine may be busy
settings.load_profile("default")


@pytest.fixture(scope="session")
def corpus() -> str:
    return CORPUS


@pytest.fixture(scope="session")
def texts() -> strategies.SearchStrategy[str]:
    return strategies.lists(PIECES, max_size=60).map("".join)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer of 400 tokens, one special, trained on a page in several scripts."""
    path = tmp_path_factory.mktemp("small") / "corpus.txt"
    path.write_bytes(CORPUS.encode())
    return Tokenizer.train(path, 400, [END])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    path = Path(__file__).parents[4] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the corpora of ../shared/data, beside the repository, are not on this machine")
    return path


@pytest.fixture(scope="session")
def gpt2(shared_data: Path) -> Tokenizer:
    folder = shared_data / "gpt2"
    return Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END])


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A file that a failing write must leave as it is."""
    path = tmp_path / "out.npy"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the disk full at the moment that written files are forced to it."""

    def no_space(file_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
