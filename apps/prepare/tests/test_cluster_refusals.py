"""`prepare.cluster`: tables of what is refused before anything is done."""

import subprocess
import sys
from dataclasses import replace

import pytest
from cluster_runs import config_of, one_process, plan_of, run_stage
from prepare import prepare


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 330}, "its vocab_size is 320, asked for is 330"),
        ({"special_tokens": ("<|end|>",)}, "its special_tokens is"),
        ({"tasks": 4}, "its tasks is 3, asked for is 4"),
        ({"bad_documents": "skip"}, "its bad_documents is 'fail'"),
    ],
)
def test_a_directory_of_another_run_is_refused(corpus, tmp_path, changes, message):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    cluster = {k: v for k, v in changes.items() if hasattr(config.cluster, k)}
    rest = {k: v for k, v in changes.items() if k not in cluster}
    other = replace(config, cluster=replace(config.cluster, **cluster), **rest)
    with pytest.raises(ValueError, match=message):
        plan_of(other)


def test_text_that_has_changed_is_refused(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    corpus["b"].write_bytes(corpus["b"].read_bytes() + b"more")
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        plan_of(config)
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        run_stage(config, "count", 2)


def test_a_directory_with_token_files_of_one_process_is_refused(corpus, tmp_path):
    out = one_process(corpus, tmp_path / "ours")
    with pytest.raises(ValueError, match=r"holds tokenizer\.json, which no run with --executor"):
        plan_of(config_of(corpus, out))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 200}, "need 257"),
        ({"min_count": 0}, "--min-count must be at least 1, got 0"),
        ({"tasks": 0}, "--tasks must be at least 1, got 0"),
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"special_tokens": ("<a>", "<a>")}, "<a>"),
        ({"valid": None}, "--valid FILE"),
    ],
)
def test_what_would_fail_late_is_refused_early(corpus, tmp_path, changes, message):
    config = config_of(corpus, tmp_path / "ours")
    cluster = {k: v for k, v in changes.items() if hasattr(config.cluster, k)}
    rest = {k: v for k, v in changes.items() if k not in cluster}
    with pytest.raises(ValueError, match=message):
        plan_of(replace(config, cluster=replace(config.cluster, **cluster), **rest))
    assert not (config.directory / "cluster").exists()


@pytest.mark.parametrize(
    ("module", "executor", "extra"),
    [("datatrove", "local", "cluster"), ("fsspec", "local", "cluster"), ("ray", "ray", "ray")],
)
def test_an_engine_that_is_not_installed_is_told_with_its_extra(
    corpus, tmp_path, module, executor, extra
):
    script = tmp_path / "without.py"
    script.write_text(
        f"import sys; sys.modules[{module!r}] = None; from prepare.__main__ import main; main()"
    )
    flags = ["--input", corpus["a"], "--valid", corpus["valid"], "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, script, *flags, "--executor", executor], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"need {module}" in done.stderr
    assert f"pip install 'prepare-app[{extra}]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_that_nothing_reaches_is_refused(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path), out="nowhere://corpus/run")
    with pytest.raises(
        ValueError, match=r"nowhere://corpus/run can't be reached.*prepare-app\[s3\]"
    ):
        prepare(config)


def test_one_process_writes_no_url(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path, executor=None), out="s3://corpus/run")
    with pytest.raises(ValueError, match="s3://corpus/run is written with --executor"):
        prepare(config)
