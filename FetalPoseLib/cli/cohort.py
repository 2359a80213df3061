"""Estimate the pose in many volumes, on all cores or on a cluster, and write one table of them.

INPUT is a volume, a folder that holds volumes at any depth, a pattern such as 'data/**/*.nrrd', or a list: a CSV file
with the column path, and perhaps pseudonym, date (2026-03-31), gestational_age (12w3d), frame and mirrored (yes or no).

  fetalpose cohort volumes/ --output study --report
  fetalpose cohort list.csv --output study --workers 4
  fetalpose cohort list.csv --output study --scheduler tcp://10.0.0.5:8786

The folder STUDY gets poses/, thumbnails/, volumes.csv and .parquet, failures.csv and .parquet, and with --report the
pages overview.html. Names and identifiers of patients go into none of these; which file each volume is stands in
STUDY-key.csv beside the folder, for you alone. The same command again does only what is new. Ctrl-C keeps what is done.

Needs the extra: pip install 'FetalPose[cohort]'. docs/cohorts.md explains clusters (SLURM, Kubernetes) and failures.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from FetalPoseLib.cli.options import add_estimator_arguments, estimate_options, positive, positive_number, take_defaults
from FetalPoseLib.cohort.options import ClusterOptions, CohortOptions
from FetalPoseLib.errors import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", metavar="INPUT", nargs="+", help="volumes, folders, patterns, or lists (.csv)")
    add("--output", metavar="STUDY", type=Path, required=True, help="folder of the results")
    add("--report", action="store_true", help="write the overview (overview.html), too")
    add("--retry-failed", dest="retry", action="store_true", help="try again what the volume itself made fail")
    add_cluster_arguments(parser)
    add_estimator_arguments(parser)


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that does many volumes, for the fields of `ClusterOptions`."""
    add = parser.add_argument
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask scheduler, as tcp://10.0.0.5:8786 (default: this machine)",
    )
    add("--workers", type=positive, metavar="N", help="on this machine (default: one for each core, as memory allows)")
    add("--threads", type=positive, metavar="N", help="of the network on each worker (default: cores by workers)")
    add("--time-limit", dest="time_limit_s", type=positive_number, metavar="SECONDS",
        help="of one volume; then it is ended, and is a failure (default %(default)s)")  # fmt: skip
    add("--memory-gb", type=positive_number, metavar="GB",
        help="of one worker; what takes more is ended (default: 80 %% of this machine by the workers)")  # fmt: skip
    take_defaults(parser, ClusterOptions)


def cluster_options(args: argparse.Namespace) -> ClusterOptions:
    """The options that the arguments of `add_cluster_arguments` make."""
    return ClusterOptions(
        scheduler=args.scheduler, workers=args.workers, threads=args.threads, time_limit_s=args.time_limit_s,
        memory_gb=args.memory_gb,
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from FetalPoseLib.cohort.run import run_cohort

    options = CohortOptions(
        inputs=args.inputs, output=args.output, estimate=estimate_options(args), cluster=cluster_options(args),
        report=args.report, retry=args.retry,
    )  # fmt: skip
    summary = shown(run_cohort, options)
    print(f"{summary.done} done, {summary.skipped} done before, {summary.failed} failed: {args.output}")
    if summary.failed:
        print(f"The reasons stand in {args.output / 'failures.csv'}, the files in {args.output}-key.csv.")
    if summary.overview is not None:
        print(f"Overview: {summary.overview}")
    return 0


def shown(run_many, options) -> Any:
    """Call ``run_many(options, listener)``, and show on standard error how far it is."""
    bar = _Bar()
    try:
        return run_many(options, bar)
    except KeyboardInterrupt:
        bar.close()
        bar.note(f"Stopped after {bar.count} volumes. The same command goes on from there.")
        raise
    finally:
        bar.close()


class _Bar:
    """A `Listener`: a bar with rate and time left, and a line for each thing to know."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._failed = self.count = 0

    def started(self, todo: int, known: int, dashboard: str) -> None:
        if known:
            self.note(f"{known} volumes were done before.")
        if dashboard:
            self.note(f"Dashboard: {dashboard}")
        if todo:
            self._bar = tqdm(total=todo, unit="volume", file=sys.stderr, smoothing=0.1, dynamic_ncols=True)

    def ended(self, outcome) -> None:
        self.count += 1
        self._failed += not outcome.done
        if self._bar is not None:
            if self._failed:
                self._bar.set_postfix(failed=self._failed, refresh=False)
            self._bar.update()

    def note(self, sentence: str) -> None:
        tqdm.write(f"fetalpose: {printable(' '.join(sentence.split()))}", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
