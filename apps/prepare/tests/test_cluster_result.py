"""`prepare.cluster`: parity with one process, for any number, order and limits of tasks."""

import json
from dataclasses import replace

import numpy as np
import pytest
from blake3 import blake3
from cluster_runs import (
    assert_same_result,
    config_of,
    files_of,
    made_up_documents,
    one_process,
    plan_of,
    run_all,
    run_stage,
    write_text,
)
from prepare import prepare
from prepare.cluster import counting, plan
from prepare.cluster import text as reading
from prepare.config import ClusterConfig
from tok import Tokenizer
from trainkit import TokenDataset


@pytest.mark.parametrize("tasks", [1, 3, 8])
def test_any_number_of_tasks_gives_the_bytes_of_one_process(corpus, tmp_path, tasks):
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=tasks))
    assert_same_result(ours, one_process(corpus, tmp_path / "theirs"))
    assert len(list(ours.glob("train-*.npy"))) == {1: 1, 3: 3, 8: 8}[tasks]


def test_the_order_of_tasks_threads_and_spilling_change_no_byte(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    ours = files_of(run_all(config))
    other = config_of(corpus, tmp_path / "other")
    for stage in plan_of(other).stages:
        for rank in reversed(range(stage.tasks)):
            run_stage(other, stage.name, rank, threads=2, max_memory_bytes=4096)
    assert files_of(other.directory) == ours


@pytest.mark.parametrize("tasks", [5, 8])
def test_counts_merged_as_a_tree_are_the_counts(corpus, tmp_path, monkeypatch, tasks):
    monkeypatch.setattr(plan, "FAN_IN", 2)
    monkeypatch.setattr(counting, "FAN_IN", 2)
    config = config_of(corpus, tmp_path / "ours", tasks=tasks)
    names = [stage.name for stage in plan_of(config).stages]
    assert names == ["count", "merge-1", "merge-2", "learn", "encode", "finish"]
    assert_same_result(run_all(config), one_process(corpus, tmp_path / "theirs"))


def test_the_manifest_tells_of_all_token_files_in_order(corpus, tmp_path):
    ours = run_all(config_of(corpus, tmp_path / "ours"))
    manifest = json.loads((ours / "manifest.json").read_text())
    theirs = one_process(corpus, tmp_path / "theirs")
    for part in ("train", "valid"):
        sidecar = json.loads((theirs / f"{part}.json").read_text())
        for count in ("token_count", "byte_count", "document_count"):
            assert manifest[part][count] == sidecar[count]
        names = [shard["name"] for shard in manifest[part]["shards"]]
        assert names == sorted(path.name for path in ours.glob(f"{part}-*.npy"))
        for shard in manifest[part]["shards"]:
            content = (ours / shard["name"]).read_bytes()
            assert shard["blake3"] == blake3(content).hexdigest()
    assert manifest["tokenizer_hash"] == Tokenizer.load(ours / "tokenizer.json").fingerprint


def test_training_reads_the_shards_as_one(corpus, tmp_path):
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=8))
    theirs = one_process(corpus, tmp_path / "theirs")
    dataset, one = (TokenDataset(directory / "train.npy") for directory in (ours, theirs))
    assert len(dataset) == len(one)
    starts = np.arange(0, len(one) - 64, 61)
    np.testing.assert_array_equal(dataset.windows(starts, 64), one.windows(starts, 64))


def test_special_tokens_that_could_overlap_are_not_cut_at(tmp_path):
    texts = write_text(tmp_path / "a.txt", made_up_documents(1, 300), "<e><e>x")
    valid = write_text(tmp_path / "v.txt", made_up_documents(2, 30), "<e>")
    config = replace(
        config_of({"a": texts, "valid": valid}, tmp_path / "ours", tasks=8),
        special_tokens=("<e>", "<e>x"),
    )
    run_all(config)
    assert len(list(config.directory.glob("train-*.npy"))) == 1
    theirs = prepare(replace(config, out=tmp_path / "theirs", cluster=ClusterConfig()))
    assert_same_result(config.directory, theirs)


def test_rare_pretokens_are_left_out_as_one_process_leaves_them_out(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path / "ours"), min_count=40)
    run_all(config)
    theirs = prepare(replace(config, out=tmp_path / "theirs", cluster=ClusterConfig()))
    assert_same_result(config.directory, theirs)
    exact = run_all(config_of(corpus, tmp_path / "exact"))
    assert files_of(exact)["tokenizer.json"] != files_of(theirs)["tokenizer.json"]


def test_text_on_this_machine_is_not_copied(corpus, tmp_path, monkeypatch):
    del corpus["packed"]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a document was looked at one by one")

    monkeypatch.setattr(reading, "copy_documents", refuse)
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=8))
    assert_same_result(ours, one_process(corpus, tmp_path / "theirs"))
