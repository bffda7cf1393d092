"""datatrove's engines, each told to do the tasks of a stage.

The one file that knows datatrove. What is done is decided by the records that tasks write, not by
datatrove's own marks: a record is there only when its file is.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import multiprocess
from datatrove.executor import (
    LocalPipelineExecutor,
    RayPipelineExecutor,
    SlurmPipelineExecutor,
)
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from prepare.cluster.child import end_child, run_child
from prepare.cluster.folder import Folder
from prepare.cluster.plan import Plan, Stage
from prepare.cluster.task import Limits, note_name, record_name
from prepare.config import ClusterConfig

# It tells of each task on stderr, in many lines. What a person needs is in `prepare --status`.
logger.disable("datatrove")


class TaskFailed(RuntimeError):
    """A task did not come to its end; its note in the run's folder says why."""


class TaskStep(PipelineStep):
    """A stage as datatrove's pipelines have them: a rank is a task, done in another process."""

    name = "prepare"
    type = "groundup"

    def __init__(self, url: str, stage: str, limits: Limits) -> None:
        super().__init__()
        self.url, self.stage, self.limits = url, stage, limits

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        """Does the task `rank`.

        Raises:
            TaskFailed: it failed or was killed.
        """
        reason = run_child(self.url, self.stage, rank, self.limits)
        if reason is not None:
            with tempfile.TemporaryDirectory() as scratch:
                name = note_name("failed", self.stage, rank)
                Folder(self.url).write_json(name, {"reason": reason}, Path(scratch))
            raise TaskFailed(f"task {rank} of the stage {self.stage} {reason}")
        return data


class _ByRecords(PipelineExecutor):
    """An executor that asks our records which tasks are done."""

    def is_rank_completed(self, rank: int) -> bool:
        return Folder(self._step.url).exists(record_name(self._step.stage, rank))

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: Any = None) -> list[int]:
        there = Folder(self._step.url).names(f"cluster/{self._step.stage}")
        every = range(self.world_size) if ranks is None else ranks
        return [r for r in every if Path(record_name("", r)).name not in there]

    def mark_rank_as_completed(self, rank: int) -> None:
        """Its record is the mark."""

    def describe_failure(self, ranks: Sequence[int]) -> str:
        """What is known of tasks that are not done: the reason of the first that failed."""
        folder, stage = Folder(self._step.url), self._step.stage
        text = f"{len(ranks)} of {self.world_size} tasks of the stage {stage} are not done"
        for rank in ranks:
            if folder.exists(note := note_name("failed", stage, rank)):
                return f"{text}; task {rank}: {folder.read_json(note)['reason']}"
        return f"{text}, and none left word why; their logs are in {self.logging_dir.path}"

    @property
    def _step(self) -> TaskStep:
        [step] = self.pipeline
        assert isinstance(step, TaskStep)
        return step


class _Local(_ByRecords, LocalPipelineExecutor):
    pass


class _Ray(_ByRecords, RayPipelineExecutor):
    pass


def run_local(url: str, plan: Plan, config: ClusterConfig) -> None:
    """Does all stages in processes of this machine, one after the other.

    Raises:
        TaskFailed: a task did; those that ran beside it were ended.
    """
    # Else every worker of every stage imports all of this anew: 3 seconds a stage on two cores.
    cast(Any, multiprocess).set_forkserver_preload([__name__])
    for stage in plan.stages:
        _run(
            _Local(
                # A stage of one task (learn) has the machine for itself.
                pipeline=[_step(url, stage, config, max(1, config.workers // stage.tasks))],
                tasks=stage.tasks,
                workers=min(config.workers, stage.tasks),
                logging_dir=_logging_dir(url, stage),
            )
        )


def import_ray() -> Any:
    """Ray, which reads these variables when it is imported.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
    # Under `uv run` Ray would send this directory to its workers and start them by `uv run` there,
    # where there is no environment: they die one after the other, and the run waits for ever.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    return importlib.import_module("ray")


def run_ray(url: str, plan: Plan, config: ClusterConfig) -> None:
    """Does all stages on a Ray cluster, one after the other.

    The cluster is the one at RAY_ADDRESS, or one that runs on this machine; where there is none, it
    is started for the run.

    Raises:
        TaskFailed: a task did; the others of its stage were done.
        ModuleNotFoundError: Ray is not installed.
    """
    ray = import_ray()
    ray.init(logging_level="ERROR", log_to_driver=False)
    try:
        for stage in plan.stages:
            _run(
                _Ray(
                    pipeline=[_step(url, stage, config)],
                    tasks=stage.tasks,
                    workers=config.workers,
                    cpus_per_task=config.threads,
                    mem_per_cpu_gb=config.memory_gb / config.threads,
                    logging_dir=_logging_dir(url, stage),
                )
            )
    finally:
        ray.shutdown()


def _run(executor: _ByRecords) -> None:
    if not executor.get_incomplete_ranks():
        return  # and nothing needs to be started for it
    try:
        with suppress(TaskFailed):  # Ray's executor raises nothing
            executor.run()
    finally:
        end_child()
    if missing := executor.get_incomplete_ranks():
        raise TaskFailed(executor.describe_failure(missing))


class _Slurm(_ByRecords, SlurmPipelineExecutor):
    pass


def submit_slurm(url: str, plan: Plan, config: ClusterConfig) -> dict[str, str]:
    """Submits an array job for each stage that is not done, each to begin after the one before.

    Returns:
        The jobs, by stage.
    """
    executors: list[_Slurm] = []
    for stage in plan.stages:
        executors.append(
            _Slurm(
                pipeline=[_step(url, stage, config)],
                tasks=stage.tasks,
                workers=config.workers,
                time=config.time_limit,
                partition=config.partition or "",
                cpus_per_task=config.threads,
                mem_per_cpu_gb=-(-config.memory_gb // config.threads),
                job_name=f"prepare-{stage.name}",
                qos="",
                # A job has the shell of its node, where this Python need not be on the path.
                env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
                # Else jobs behind a failed one wait for ever.
                sbatch_args={"kill-on-invalid-dep": "yes"},
                depends=executors[-1] if executors else None,
                logging_dir=_logging_dir(url, stage),
            )
        )
    executors[-1].run()
    jobs = {stage.name: str(ex.job_id) for stage, ex in zip(plan.stages, executors, strict=True)}
    return {stage: job for stage, job in jobs.items() if job != "-1"}  # -1: all its tasks are done


def check_slurm(config: ClusterConfig) -> None:
    """Refuses a submission that could not work.

    Raises:
        ValueError: Slurm is not there, or has no such partition.
    """
    if shutil.which("sbatch") is None:
        raise ValueError(
            "--executor slurm needs Slurm's sbatch, which is not on this machine's PATH: type the"
            " command on a login node, or use --executor local"
        )
    there = _output("sinfo", "--noheader", "--format=%R").split()
    if config.partition not in there:
        asked = f"none is called {config.partition!r}" if config.partition else "none was named"
        raise ValueError(
            f"--executor slurm needs --partition, one of {', '.join(sorted(set(there)))}; {asked}"
        )


def jobs_at_work(jobs: Mapping[str, str]) -> list[str]:
    """Those of some Slurm jobs that wait or run."""
    queued = _output("squeue", "--noheader", "--format=%A", "--me").split()
    array_jobs = _output("squeue", "--noheader", "--format=%F", "--me").split()
    return [job for job in jobs.values() if job in {*queued, *array_jobs}]


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _step(url: str, stage: Stage, config: ClusterConfig, workers: int = 1) -> TaskStep:
    """The step of a stage, each task of which has the threads of so many workers."""
    return TaskStep(url, stage.name, Limits(workers * config.threads, config.max_memory_bytes))


def _logging_dir(url: str, stage: Stage) -> str:
    return f"{url}/cluster/logs/{stage.name}"
