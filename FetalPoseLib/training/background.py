"""Simulating in processes of its own while the network trains on what is there already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from itertools import count as count_from
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import remove_unfinished
from FetalPoseLib.training.pool import simulate_into

Subjects = Sequence[tuple[str, int]]  # (split, index)
LOWER_PRIORITY = 5  # of the simulating processes, so that they do not slow down the network


class Simulation:
    """Processes that fill ``folder`` with cases of ``subjects``, from the context's start to its end at the latest.

    Subjects whose case is there already cost nothing, so a simulation that was stopped goes on where it was.

    Example
    -------
    >>> with Simulation(folder, training_subjects(500), spacing=1.0, workers=2) as simulation:
    ...     simulation.wait_for(16)
    """

    def __init__(self, folder: Path, subjects: Subjects, *, spacing: float, workers: int, device: str = "cpu"):
        self.folder, self.subjects = Path(folder), list(subjects)
        todo = [s for s in self.subjects if not self._path(*s).exists()]
        context = multiprocessing.get_context("spawn")  # a fork would break torch's threads and CUDA
        options = {"daemon": True, "target": _work}
        self._processes = [
            context.Process(args=(self.folder, todo[k::workers], spacing, device), **options)
            for k in range(min(workers, len(todo)))
        ]

    def __enter__(self) -> Simulation:
        self.folder.mkdir(parents=True, exist_ok=True)
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        remove_unfinished(self.folder)  # what a process was writing when it was ended

    def done(self) -> int:
        """How many of the subjects have their case."""
        return sum(self._path(*subject).exists() for subject in self.subjects)

    def wait_for(self, count: int, progress: Callable[[int], None] = lambda done: None) -> None:
        """Return as soon as ``count`` cases are there; FetalPoseError if the simulation fails before."""
        count = min(count, len(self.subjects))
        while (done := self.done()) < count:
            progress(done)
            alive = any(process.is_alive() for process in self._processes)
            if any(process.exitcode for process in self._processes) or not alive and self.done() < count:
                raise FetalPoseError(
                    f"Simulating into {self.folder} failed; the reason is printed above. "
                    "If memory or disk space ran out, use fewer workers or another folder."
                )
            time.sleep(0.2)
        progress(done)

    def _path(self, split: str, index: int) -> Path:
        return self.folder / f"{split}-{index:05d}.npz"


ABSENT_EVERY = 12  # of so many subjects to train on, one holds no fetus
VALIDATED = 24


def training_subjects(count: int, *, presentation: str = "any", without: Mapping[str, str] | None = None) -> Subjects:
    """The first ``count`` subjects to train on: Sim-152's 100, then fresh ones without end, and some without a fetus.

    Parameters
    ----------
    presentation : "any", or "standard", in which all subjects hold a fetus.
    without : factors to leave out, such as ``{"family": "endocavitary"}`` (see `simulation.scenario.Factors`).
    """
    from FetalPoseLib.simulation.splits import SPLITS

    suffix = "" if presentation == "any" else f"-{presentation}"
    fixed = ((f"train2{suffix}", i) for i in range(SPLITS["train2"].count))
    fetuses = _matching(chain(fixed, _numbered(f"fresh2{suffix}")), without, wanted=False)
    absent = _matching(_numbered("fresh-absent2"), without, wanted=False) if presentation == "any" else fetuses
    return [next(absent if k % ABSENT_EVERY == ABSENT_EVERY - 1 else fetuses) for k in range(count)]


def validation_subjects(*, presentation: str = "any", factors: Mapping[str, str] | None = None) -> Subjects:
    """The 24 of Sim-152's validation split, or, with ``factors``, 24 others that have these."""
    suffix = "" if presentation == "any" else f"-{presentation}"
    if not factors:
        return [(f"validation2{suffix}", i) for i in range(VALIDATED)]
    return list(islice(_matching(_numbered(f"left-out2{suffix}"), factors, wanted=True), VALIDATED))


def _numbered(split: str) -> Iterator[tuple[str, int]]:
    return ((split, index) for index in count_from(0))


def _matching(subjects: Iterator, factors: Mapping[str, str] | None, *, wanted: bool) -> Iterator[tuple[str, int]]:
    """Those of the subjects that have all the factors, or that do not."""
    from FetalPoseLib.simulation.datasets import draw_scenario

    return (s for s in subjects if not factors or draw_scenario(*s).factors.match(**factors) == wanted)


def _work(folder: Path, subjects: Subjects, spacing: float, device: str) -> None:
    import torch

    from FetalPoseLib.network.memory import keep_freed_memory

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which then ends its helpers
    keep_freed_memory()
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(LOWER_PRIORITY)
    for split, index in subjects:
        if not multiprocessing.parent_process().is_alive():
            return
        simulate_into(folder, split, [index], spacing=spacing, device=device)
