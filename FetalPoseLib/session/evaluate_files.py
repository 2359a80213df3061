"""From files of poses and of their truths to the measures of all of them, see `evaluation.metrics`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.evaluation.metrics import summary
from FetalPoseLib.evaluation.pairs import find_pairs


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What is compared: two `.mrk.json` files, or two folders in which files of the same name belong together."""

    predicted: Path  #: a pose, or a folder of poses
    truth: Path  #: its truth, or the folder of the truths


def evaluate_files(
    options: EvaluationOptions,
    *,
    progress: Callable[[int, int], object] = lambda done, total: None,
    warn: Callable[[str], object] = lambda sentence: None,
) -> dict:
    """Compare poses with their truths.

    Parameters
    ----------
    options : what is compared.
    progress : called with the number of poses read and of all after each.
    warn : called with a sentence for the user where something is left out.

    Returns
    -------
    dict
        As of `metrics.summary`: lengths and errors in mm, areas in %.

    Raises
    ------
    FetalPoseError
        The files do not belong together (`evaluation.pairs`), or one is no pose (`scene.load_pose`).

    Example
    -------
    >>> evaluate_files(EvaluationOptions(predicted=Path("poses"), truth=Path("truths")))["mean_mm"]
    """
    pairs = find_pairs(Path(options.predicted), Path(options.truth))
    if pairs.without_truth:
        warn(f"{len(pairs.without_truth)} poses in {options.predicted} have no truth and are left out")
    scene, poses = mrml.new_scene(), []
    for pair in pairs.files:
        poses.append([mrml.points_of(mrml.load_pose(scene, path)) for path in pair])
        progress(len(poses), len(pairs.files))
    predicted, truth = np.array(poses).transpose(1, 0, 2, 3)
    return summary(predicted, truth)
