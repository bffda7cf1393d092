"""`prepare.cluster`: text and results elsewhere than on a disk.

Parity with one process on a disk.
"""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import s3fs
from cluster_runs import assert_same_result, config_of, one_process, plan_of, run_all
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from moto.server import ThreadedMotoServer
from prepare import prepare
from prepare.cluster import run, stages
from prepare.cluster.folder import Folder, find_files
from prepare.cluster.status import read_status
from prepare.cluster.task import Limits
from prepare.config import ClusterConfig


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """A bucket of moto's S3, on loopback."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"corpus-{secrets.token_hex(4)}"  # moto keeps buckets from one server to the next
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_text_and_result_may_be_objects_in_a_bucket(corpus, tmp_path, bucket):
    system = s3fs.S3FileSystem()
    for path in corpus.values():
        system.put_file(str(path), f"{bucket}/text/{path.name}")
    *train, valid = (f"{bucket}/text/{path.name}" for path in corpus.values())
    config = config_of(corpus, tmp_path)
    config = replace(config, input=tuple(train), valid=valid, out=f"{bucket}/run")
    for stage in run.find_or_make_plan(config, Folder(config.url)).stages:
        for rank in range(stage.tasks):
            stages.run_task(config.url, stage.name, rank, Limits())
    assert read_status(config.url).is_done
    system.get(f"{bucket}/run", str(tmp_path / "ours"), recursive=True)
    assert_same_result(tmp_path / "ours", one_process(corpus, tmp_path / "theirs"))
    again = replace(config, vocab_size=300)
    with pytest.raises(ValueError, match="its vocab_size is 320"):
        run.find_or_make_plan(again, Folder(config.url))


def test_an_object_that_is_not_there_is_refused(corpus, tmp_path, bucket):
    config = replace(
        config_of(corpus, tmp_path), input=(f"{bucket}/lost.txt",), out=f"{bucket}/run"
    )
    with pytest.raises(FileNotFoundError, match=r"no file s3://.*/lost\.txt"):
        run.find_or_make_plan(config, Folder(config.url))


def test_directories_and_patterns_stand_for_their_files_in_order(corpus, tmp_path, bucket):
    folder, system = tmp_path / "more", s3fs.S3FileSystem()
    (folder / "below").mkdir(parents=True)
    names = ["b.txt", "a.jsonl", "below/c.txt.gz", "z.parquet", "README.md", "below/d.json"]
    for name in names:
        (folder / name).touch()
        system.pipe_file(f"{bucket}/more/{name}", b"x")
    read = ["a.jsonl", "b.txt", "below/c.txt.gz", "z.parquet"]
    for root in (str(folder), f"{bucket}/more"):
        assert find_files(root) == [f"{root}/{name}" for name in read]
        assert find_files(f"{root}/*.[tm]*") == [f"{root}/README.md", f"{root}/b.txt"]
        assert find_files(f"{root}/below/d.json") == [f"{root}/below/d.json"]
        with pytest.raises(FileNotFoundError, match=r"no file .*/\*\.csv"):
            find_files(f"{root}/*.csv")
    config = config_of(corpus, tmp_path / "ours")
    run_all(replace(config, input=(str(corpus["a"].parent / "[ab].txt"),)))
    theirs = replace(config, input=(str(corpus["a"]), str(corpus["b"])), out=tmp_path / "theirs")
    assert_same_result(config.directory, prepare(replace(theirs, cluster=ClusterConfig())))


class Hub(MemoryFileSystem):
    """What the Hugging Face Hub is to us: no times, but the name of the content."""

    protocol = "hf"
    store: ClassVar[dict[str, Any]] = {}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        info = super().info(path, **options)
        blob = {"blob_id": hashlib.sha1(self.cat_file(path)).hexdigest()}
        kept = {key: info[key] for key in ("name", "size", "type")}
        return kept | (blob if info["type"] == "file" else {})


def test_a_data_set_of_the_hub_is_its_files(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(_registry, "hf", Hub)
    hub, root = Hub(), "hf://datasets/owner/name"
    del corpus["empty"]
    for name, path in corpus.items():
        folder = "valid" if name == "valid" else "data"
        hub.pipe_file(f"{root}/{folder}/{path.name}", path.read_bytes())
    hub.pipe_file(f"{root}/data/README.md", b"about")
    config = replace(
        config_of(corpus, tmp_path / "ours"), input=(f"{root}/data",), valid=f"{root}/valid"
    )
    run_all(config)
    train = sorted((path for name, path in corpus.items() if name != "valid"), key=lambda p: p.name)
    theirs = dict(enumerate([*train, corpus["valid"]]))
    assert_same_result(config.directory, one_process(theirs, tmp_path / "theirs"))
    hub.pipe_file(f"{root}/data/b.txt", corpus["b"].read_bytes().swapcase())
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        plan_of(config)
