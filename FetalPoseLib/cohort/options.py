"""What a person chooses for a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.simulation import DEFAULT_SPACING_MM


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where the jobs run, and what one of them may take."""

    scheduler: str | None = None  #: address of a Dask scheduler, such as tcp://10.0.0.5:8786; None: a local cluster
    workers: int | None = None  #: of the local cluster; None: one for each core for which there is memory
    threads: int | None = None  #: of the network on each worker; None: the cores by the workers; 1 on other clusters
    time_limit_s: float = 900.0  #: of one volume; after it the process is ended, and the volume is a failure
    memory_gb: float | None = None  #: of one worker's processes together; None: 80 % of this machine by the workers
    attempts: int = 2  #: of a volume that Dask gave up because its workers died, four by default
    patience_s: float = 600.0  #: how long a scheduler that does not answer, or a full disk, is waited for
    dashboard: str = "127.0.0.1:8787"  #: of the local cluster; another port if this one is taken
    process: Sequence[str] = ()  #: command line of the volume processes; (): `python -m FetalPoseLib.cohort`


@dataclass(frozen=True, kw_only=True)
class CohortOptions:
    """Which volumes are measured, how, and where the results go."""

    inputs: Sequence[str]  #: files, folders, globs, and lists (.csv)
    output: Path  #: folder of the study
    estimate: EstimateOptions = EstimateOptions()  #: model, device and refinement
    cluster: ClusterOptions = ClusterOptions()  #: where it runs
    report: bool = False  #: write the overview, too
    retry: bool = False  #: try again what failed because of the volume itself
    network: Sequence[str] = ()  #: command line of the network's process; (): `python -m FetalPoseLib.worker`


@dataclass(frozen=True, kw_only=True)
class SimulatedOptions:
    """Which volumes are simulated, and where they go."""

    output: Path  #: folder; each volume lies beside its landmarks, as ``fetalpose train --data`` takes them
    count: int  #: how many
    first: int = 0  #: seed of the first, or its index in the split
    split: str | None = None  #: a set of Sim-152; None: fresh subjects
    spacing: float = DEFAULT_SPACING_MM  #: of the voxels, mm
    cluster: ClusterOptions = ClusterOptions()  #: where it runs
