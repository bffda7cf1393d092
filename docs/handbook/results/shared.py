"""What the scripts that measure for the handbook share."""

from pathlib import Path

from tok import Tokenizer

END = "<|endoftext|>"


def machine() -> str:
    """The processor's name and how many cores there are, as Linux tells."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores"


def bytes_a_token(tokenizer: Tokenizer, text: str) -> float:
    """Bytes of UTF-8 that one token stands for, on average; special tokens are left out."""
    plain = text.replace(END, "")
    return round(len(plain.encode()) / len(tokenizer.encode_to_numpy(plain)), 4)
