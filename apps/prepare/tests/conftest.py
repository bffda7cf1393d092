"""Fixtures of the tests of `prepare.cluster`."""

import gzip
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from cluster_runs import made_up_documents, write_rows, write_text


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Path]:
    """Training files of every kind, and one to validate with."""
    folder = tmp_path / "text"
    folder.mkdir()
    rows = write_rows(folder / "rows.jsonl", made_up_documents(1, 150))
    table = pyarrow.table({"text": made_up_documents(2, 50)})
    pyarrow.parquet.write_table(table, folder / "table.parquet")
    packed = folder / "packed.txt.gz"
    packed.write_bytes(
        gzip.compress(write_text(folder / "x", made_up_documents(3, 50)).read_bytes())
    )
    (folder / "empty.txt").touch()
    return {
        "a": write_text(folder / "a.txt", made_up_documents(4, 300)),
        "empty": folder / "empty.txt",
        "rows": rows,
        "packed": packed,
        "table": folder / "table.parquet",
        "b": write_text(folder / "b.txt", made_up_documents(5, 200)),
        "valid": write_text(folder / "valid.txt", made_up_documents(6, 30)),
    }
