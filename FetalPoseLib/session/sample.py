"""The bundled sample volume, which is simulated, estimated and compared with its truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.evaluation.metrics import landmark_errors
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session.estimate_file import FileOptions, FileResult, estimate_file
from FetalPoseLib.worker.client import WorkerClient


@dataclass(frozen=True, eq=False)
class SampleResult:
    """The pose of the sample volume beside its truth."""

    found: FileResult
    files: tuple[Path, ...]  #: pose, table and picture
    mean_mm: float  #: distance to the truth, over the landmarks that were found
    largest_mm: float


def estimate_sample(
    client: WorkerClient,
    folder: Path,
    estimate: EstimateOptions,
    *,
    progress: Callable[[Progress], object] = lambda progress: None,
    warn: Callable[[str], object] = lambda sentence: None,
) -> SampleResult:
    """Estimate the sample volume's pose; write pose.mrk.json, lengths.csv and pose.png into ``folder``, made if new.

    Arguments and errors as of `estimate_file`.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another.") from error
    files = tuple(folder / name for name in ("pose.mrk.json", "lengths.csv", "pose.png"))
    options = FileOptions(output=files[0], table=files[1], picture=files[2])
    volume = resource_path("sample", "sample.nrrd")
    found = estimate_file(client, volume, options, estimate, progress=progress, warn=warn)
    truth = mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))
    errors = landmark_errors(found.points[None], truth[None])
    errors = errors[np.isfinite(errors)]
    return SampleResult(found, files, float(errors.mean()), float(errors.max()))
