"""What the commands show in a terminal: progress and warnings on standard error, lengths on standard output."""

import sys
from collections.abc import Callable
from typing import TypeVar

from tqdm import tqdm

from FetalPoseLib.errors import printable
from FetalPoseLib.worker.client import WorkerClient

Result = TypeVar("Result")

#: What of the clinical measures is printed; ``--measures`` writes all of them.
SUMMARY = ("crown_rump_length", "gestational_age", "cranial_dorsal_hip_angle", "head_trunk_flexion")
UNIT_WORDS = {"mm": "mm", "deg": "degrees", "d": "days"}
_STAGES = ("open", "locate", "detect", "refine")  # a search is a part of "locate"


def shown(estimate: Callable[..., Result], *arguments) -> Result:
    """Call ``estimate(client, *arguments, progress=..., warn=...)``, and show what it tells on standard error."""
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.session.estimate_file import NetworkFailedError

    mrml.silence_log()
    bar = _StageBar()
    try:
        with WorkerClient() as client:
            return estimate(client, *arguments, progress=bar.show, warn=bar.warn)
    except NetworkFailedError as error:
        bar.close()
        if error.details:
            print(printable(error.details.strip()), file=sys.stderr)
        raise
    finally:
        bar.close()


def print_lengths(rows: list[dict]) -> None:
    """The rows of `measurements.length_table`, one line each."""
    for row in rows:
        within = f"   {row['low_mm']:>6} to {row['high_mm']:>6} mm" if row.get("low_mm") else ""
        print(f"{row['segment']:<24}{row['length_mm'] or '-':>8} mm{within}")


def print_summary(rows: list[dict]) -> None:
    """Size, age and posture from the rows of `clinical.measure_table`, one line each."""
    print()
    for row in rows:
        if row["measure"] not in SUMMARY:
            continue
        unit = UNIT_WORDS[row["unit"]]
        within = f"   {row['low']:>6} to {row['high']:>6} {unit}" if row["low"] else ""
        value = f"{row['value']:>8} {unit}" if row["value"] else f"{'-':>8}"
        print(f"{row['measure']:<24}{value}{within}" + (f"   {row['note']}" if row["note"] else ""))


def print_warning(sentence: str) -> None:
    """One line on standard error."""
    print(f"fetalpose: warning: {printable(' '.join(sentence.split()))}", file=sys.stderr)


class CountBar:
    """A bar on standard error over things that are counted; none where there is only one."""

    def __init__(self, description: str, unit: str) -> None:
        self._description, self._unit = description, unit
        self._bar: tqdm | None = None

    def show(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                desc=self._description, unit=self._unit, total=total, file=sys.stderr, leave=False, disable=total < 2
            )
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()


class _WarningBar:
    """A bar on standard error that a warning interrupts."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def warn(self, sentence: str) -> None:
        self.close()
        print_warning(sentence)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _StageBar(_WarningBar):
    """A bar on standard error, from the first progress to the first warning or the end."""

    def show(self, progress) -> None:
        total = 3 + progress.iterations
        if self._bar is None:
            self._bar = tqdm(total=total, unit="step", file=sys.stderr, leave=False)
        self._bar.set_description(progress.stage, refresh=False)
        self._bar.total = total
        stage = "locate" if progress.stage == "search" else progress.stage
        self._bar.n = min(_STAGES.index(stage) + (progress.iteration or 0), total)
        self._bar.refresh()


class SequenceBar(_WarningBar):
    """A bar on standard error over the volumes of each stage of a `session.track_file`; a warning interrupts it."""

    def __init__(self) -> None:
        super().__init__()
        self._stage = ""

    def show(self, stage) -> None:
        if self._bar is None or self._stage != stage.stage:
            self.close()
            self._stage = stage.stage
            self._bar = tqdm(total=stage.total, desc=stage.stage, unit="volume", file=sys.stderr, leave=False)
        self._bar.update(stage.done - self._bar.n)
