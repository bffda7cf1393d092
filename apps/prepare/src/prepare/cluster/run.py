"""A run from its configuration: the checks, the plan, and the engine that does it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bpe_rs import PretokenCounts
from tok import Tokenizer

from prepare.cluster.cut import is_warc
from prepare.cluster.engines import (
    TaskFailed,
    check_slurm,
    import_ray,
    jobs_at_work,
    run_local,
    run_ray,
    submit_slurm,
)
from prepare.cluster.folder import Folder, find_files
from prepare.cluster.plan import PLAN, Plan, Settings, check_unchanged, make_plan
from prepare.cluster.status import read_status
from prepare.cluster.warc import check_installed as check_warc_installed
from prepare.config import ClusterConfig, PrepareConfig, is_url
from prepare.sources import KNOWN_CORPORA, find_corpus, named_files

JOBS = "cluster/jobs.json"

Report = Callable[[str], None]


def run(config: PrepareConfig, report: Report) -> None:
    """Makes the tokenizer and token files of `config` by the engine that it names.

    The same call goes on with a run that was killed or failed.

    Raises:
        ModuleNotFoundError: the engine is not installed.
        ValueError: the engine can't be used as it was told to; the directory holds a run of other
            settings or text, or token files of none; a task failed, and why.
        OSError: a file is missing or can't be read or written.
    """
    url = config.url
    folder = Folder(url)
    if config.cluster.executor == "slurm":
        _check_slurm(config, folder)
    if config.cluster.executor == "ray":
        import_ray()  # before the first file is written
    plan = find_or_make_plan(config, folder)
    report(_describe(plan))
    if config.cluster.executor == "slurm":
        jobs = submit_slurm(url, plan, config.cluster)
        with tempfile.TemporaryDirectory() as scratch:
            folder.write_json(JOBS, jobs, Path(scratch))
        named = ", ".join(f"{stage} {job}" for stage, job in jobs.items())
        report(f"submitted   {named or 'nothing, as all is done'}")
        report(f"next        prepare --status {config.out or config.directory}")
        return
    try:
        (run_ray if config.cluster.executor == "ray" else run_local)(url, plan, config.cluster)
    except TaskFailed as error:
        raise ValueError(
            f"{error}\nThe same command goes on where this one ended; prepare --status"
            f" {config.out or config.directory} tells how far it came"
        ) from None
    for line in read_status(url).lines():
        report(line)


def _check_slurm(config: PrepareConfig, folder: Folder) -> None:
    check_slurm(config.cluster)
    if folder.exists(JOBS) and (jobs := jobs_at_work(folder.read_json(JOBS))):
        raise ValueError(
            f"jobs {', '.join(jobs)} of this run wait or run still: see prepare --status"
            f" {config.out or config.directory}, or end them with scancel and submit it again"
        )


def find_or_make_plan(config: PrepareConfig, folder: Folder) -> Plan:
    """The plan of the run in `folder`; where there is none yet, it is made and written.

    Raises:
        ValueError: what is there does not fit `config`, or `config` can't come to a good end.
        OSError: a file is missing or can't be read or written.
    """
    settings = _settings(config)
    if folder.exists(PLAN):
        plan = Plan.load(folder)
        _check_same(plan.settings, settings, folder)
        for file in {span.file for part in plan.parts for share in part for span in share}:
            check_unchanged(file)
        return plan
    _check_empty(folder)
    plan = make_plan(settings, *_find_text(config))
    with tempfile.TemporaryDirectory() as scratch:
        plan.save(folder, Path(scratch))
    return plan


def _find_text(config: PrepareConfig) -> tuple[list[str], list[str], Mapping[str, float]]:
    """Paths or URLs of the training and of the validation text, and what is known of the latter."""
    if not KNOWN_CORPORA & set(config.input):
        *train, valid = map(_absolute, named_files(config))
        parts = [find_files(name) for name in train], [find_files(valid)]
        train, valid = ([path for paths in part for path in paths] for part in parts)
        if any(is_warc(path) for path in (*train, *valid)):
            check_warc_installed()
        return train, valid, {}
    if "stories" in config.input and is_url(config.url):
        raise ValueError(f"stories are written to a directory, and {config.out} is none")
    if "stories" in config.input:
        config.directory.mkdir(parents=True, exist_ok=True)
    corpus = find_corpus(config, config.directory)
    parts = (corpus.train, corpus.valid)
    train, valid = ([str(path.absolute()) for path in paths] for paths in parts)
    return train, valid, corpus.valid_extra


def _settings(config: PrepareConfig) -> Settings:
    paths = [_absolute(name) for name in (*config.input, config.valid) if name]
    stories = {"stories_bytes": config.stories_bytes, "seed": config.seed}
    settings = Settings(
        vocab_size=config.vocab_size,
        special_tokens=config.special_tokens,
        tasks=config.cluster.tasks,
        bad_documents=config.cluster.bad_documents,
        max_document_bytes=config.cluster.max_document_bytes,
        sources={"text": paths} | (stories if "stories" in config.input else {}),
        min_count=config.min_count,
    )
    _check(settings, config.cluster)
    return settings


def _absolute(name: str) -> str:
    return name if name in KNOWN_CORPORA or is_url(name) else str(Path(name).absolute())


def _check(settings: Settings, cluster: ClusterConfig) -> None:
    """Refuses what would fail after hours of counting."""
    for name in ("tasks", "workers", "threads", "max_document_bytes"):
        if (value := getattr(cluster, name)) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if settings.min_count < 1:
        raise ValueError(f"--min-count must be at least 1, got {settings.min_count}")
    counts = PretokenCounts(settings.special_tokens)
    counts.update("a")
    Tokenizer.train(counts, settings.vocab_size, settings.special_tokens)


def _check_same(found: Settings, asked: Settings, folder: Folder) -> None:
    if found.fingerprint == asked.fingerprint:
        return
    old, new = found.content, asked.content
    name = next(name for name in new if old.get(name) != new[name])
    raise ValueError(
        f"{folder.url} holds a run of other settings: its {name} is {old.get(name)!r}, asked for is"
        f" {new[name]!r}; choose another --out, or remove it"
    )


def _check_empty(folder: Folder) -> None:
    """Refuses a directory with token files: those of two runs would be taken for one."""
    there = sorted(n for n in folder.names("") if n.endswith(".npy") or n == "tokenizer.json")
    if there:
        raise ValueError(
            f"{folder.url} holds {there[0]}, which no run with --executor has made; choose another"
            " --out, or remove it"
        )


def _describe(plan: Plan) -> str:
    sizes = [sum(span.size for share in part for span in share) for part in plan.parts]
    return (
        f"text        {sizes[0] / 1e6:,.1f} MB to train on in {len(plan.train)} shares,"
        f" {sizes[1] / 1e6:,.1f} MB to validate with in {len(plan.valid)}"
    )
