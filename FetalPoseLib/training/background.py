"""Simulating in processes of its own while the network trains on what is there already."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
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
        for part in self.folder.glob("*.part"):  # what a process was writing when it was ended
            part.unlink(missing_ok=True)

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
                    "If memory or disk space ran out, use fewer --workers or another --folder."
                )
            time.sleep(0.2)
        progress(done)

    def _path(self, split: str, index: int) -> Path:
        return self.folder / f"{split}-{index:05d}.npz"


#: Of this many training subjects of version 2, one holds no fetus.
ABSENT_EVERY = 12


def training_subjects(count: int, version: int = 1, without: Mapping[str, str] | None = None) -> Subjects:
    """The first ``count`` subjects to train on: the 100 of Sim-152's training split, then fresh ones without end.

    Parameters
    ----------
    version : of the simulator. In version 2 every twelfth subject holds no fetus.
    without : factors to leave out, such as ``{"family": "endocavitary"}`` (see `simulation.scenario.Factors`); only in
        version 2.
    """
    from FetalPoseLib.simulation.datasets import SPLITS

    if version == 1:
        train = SPLITS["train"].count
        return [("train", i) if i < train else ("fresh", i - train) for i in range(count)]
    names = chain((("train2", i) for i in range(SPLITS["train2"].count)), (("fresh2", i) for i in itertools.count()))
    absent = (("fresh-absent2", i) for i in itertools.count())
    names, absent = _kept(names, without or {}), _kept(absent, without or {})
    return [next(absent if k % ABSENT_EVERY == ABSENT_EVERY - 1 else names) for k in range(count)]


def _kept(subjects, without: Mapping[str, str]):
    from FetalPoseLib.simulation.datasets import draw_scenario

    return (s for s in subjects if not without or not draw_scenario(*s).factors.match(**without))


def validation_subjects(version: int = 1) -> Subjects:
    """The 24 of Sim-152's validation split."""
    from FetalPoseLib.simulation.datasets import SPLITS

    name = {1: "validation", 2: "validation2"}[version]
    return [(name, i) for i in range(SPLITS[name].count)]


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
