"""Pose libraries: the bundled one, from the bodies that training sees and no others, and one from your own poses.

``python -m FetalPoseLib.training.library`` writes the bundled one anew. A pose library holds no pictures, so this takes
seconds: the bodies are drawn and never scanned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError

SUBJECTS = {"train": 100, "fresh": 300}  # split: how many, counted from 0


def own_frame(pose: np.ndarray) -> np.ndarray:
    """A pose (16, 3) RAS mm in the fetus's own frame (x to its right, y to its front, z to its head), still in mm."""
    frame = FetalFrame.from_landmarks(pose)
    return frame.size * frame.to_body(pose)


def bundled_library() -> PoseLibrary:
    """The 400 atlases of the training subjects, whole bodies even where the scan cut a landmark off."""
    from FetalPoseLib.simulation.datasets import draw_subject

    bodies = [draw_subject(split, index) for split, count in SUBJECTS.items() for index in range(count)]
    ranges = ", ".join(f"{split} 0 to {count - 1}" for split, count in SUBJECTS.items())
    meta = {
        "source": f"Simulated bodies of the training subjects {ranges}; none of validation, test or shifted.",
        "frame": "each fetus's own, in mm: x to its right, y to its front, z to its head",
    }
    return PoseLibrary([own_frame(b.body.landmarks) for b in bodies], [b.name for b in bodies], meta)


def library_of(poses: Sequence[np.ndarray], names: Sequence[str], source: str) -> PoseLibrary:
    """A library of annotated poses (16, 3) RAS mm; those with a landmark that is not visible are left out.

    Raises
    ------
    FetalPoseError
        No pose is complete, so that no atlas is left.
    """
    complete = [(own_frame(pose), name) for pose, name in zip(poses, names, strict=True) if np.isfinite(pose).all()]
    if not complete:
        raise FetalPoseError(
            f"None of the {len(poses)} poses of {source} has all its landmarks, and an atlas needs them. "
            "Place every landmark in at least one volume, better in all where it is visible."
        )
    atlases, kept = zip(*complete, strict=True)
    return PoseLibrary(atlases, kept, {"source": source, "frame": "each fetus's own, in mm"})


def main() -> None:
    """Write the bundled library."""
    from FetalPoseLib.resources import resource_path

    path = resource_path("models").parent / "pose_library.npz"
    library = bundled_library()
    library.save(path)
    print(f"{path}: {len(library)} atlases")


if __name__ == "__main__":
    main()
