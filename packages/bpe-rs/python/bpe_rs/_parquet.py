"""The text column of a Parquet file, for training: pyarrow reads it, where it is installed."""

from collections.abc import Iterator
from os import PathLike, fspath

_ROWS = 1024
"""Rows turned into Python strings at a time: a batch of long documents is some megabytes."""


def read_texts(path: str | PathLike[str], text_field: str) -> Iterator[list[str]]:
    """The texts of column `text_field`, in batches.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: It is no Parquet file, has no such column, or a row holds no text.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        message = f"{fspath(path)}: reading Parquet needs pyarrow: install bpe-rs[parquet]"
        raise ImportError(message) from error
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_column(path, text_field, dict(zip(schema.names, schema.types, strict=True)))
            row = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=[text_field]):
                texts = batch.column(0).to_pylist()
                if batch.column(0).null_count:
                    raise ValueError(
                        f"{fspath(path)}: row {row + texts.index(None)} has no {text_field!r}; "
                        "leave such rows out of the file"
                    )
                yield texts
                row += len(texts)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{fspath(path)} cannot be read as Parquet: {error}") from error


def _check_column(path: str | PathLike[str], text_field: str, columns: dict[str, object]) -> None:
    if text_field not in columns:
        raise ValueError(
            f"{fspath(path)} has no column {text_field!r}, but {', '.join(map(repr, columns))}; "
            "name one of them with text_field"
        )
    if str(columns[text_field]) not in ("string", "large_string", "string_view"):
        raise ValueError(
            f"{fspath(path)}: column {text_field!r} must hold strings, not {columns[text_field]}"
        )
