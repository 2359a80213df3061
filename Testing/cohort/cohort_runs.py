"""What the tests of cohorts share: a study of `fake_volumes`, and what was told of it."""

import json
import os
import time
from pathlib import Path

import fake_volumes

from FetalPoseLib.cohort.options import ClusterOptions, CohortOptions
from FetalPoseLib.cohort.run import Listener, run_cohort


class Told(Listener):
    """All that a run tells, and what is done at a note."""

    def __init__(self, at_note=lambda sentence: None, at_end=lambda outcome: None):
        self.begun, self.outcomes, self.notes = (), [], []
        self._at_note, self._at_end = at_note, at_end

    def started(self, todo, known, dashboard):
        self.begun = (todo, known, dashboard)

    def ended(self, outcome):
        self.outcomes.append(outcome)
        self._at_end(outcome)

    def note(self, sentence):
        self.notes.append(sentence)
        self._at_note(sentence)


class Bench:
    """A folder of volumes, a study of them on a cluster, and a log of what was worked on."""

    def __init__(self, folder: Path, scheduler: str | None):
        self.volumes, self.study, self.log = folder / "in", folder / "study", folder / "log.txt"
        self.volumes.mkdir()
        self.scheduler = scheduler

    def volume(self, name: str, **plan) -> Path:
        path = self.volumes / name
        path.write_text(json.dumps({"name": name, **plan}))
        return path

    def options(self, **cluster) -> CohortOptions:
        report = cluster.pop("report", False)
        options = {"time_limit_s": 60.0, "patience_s": 60.0, "memory_gb": 4.0} | cluster
        options = ClusterOptions(scheduler=self.scheduler, process=fake_volumes.command(self.log), **options)
        return CohortOptions(inputs=[str(self.volumes)], output=self.study, cluster=options, report=report)

    def run(self, told: Told | None = None, **cluster):
        return run_cohort(self.options(**cluster), told or Told())

    @property
    def worked_on(self) -> list[str]:
        """The files that a process has begun, in order."""
        return [line.split(":")[0] for line in self._lines]

    @property
    def pids(self) -> list[int]:
        return [int(line.split(":")[1]) for line in self._lines]

    @property
    def _lines(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        try:  # a zombie, whose parent has not looked yet
            if Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
