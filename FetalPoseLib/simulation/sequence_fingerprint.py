"""The ten sequences frozen: where the landmarks are in some volumes of each, so that a change of movement is noticed.

What the volumes look like is frozen with Sim-152 (`fingerprint`), because the same simulator forms them.
"""

from __future__ import annotations

import json
from pathlib import Path

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.resources import resource_path
from FetalPoseLib.simulation.sequences import SETS, draw_sequence

FROZEN_FRAMES = (0, 5, 8, 11, 14, 23)


def freeze(path: Path) -> None:
    """Write the file that the tests compare with: ``python -m FetalPoseLib.simulation.sequence_fingerprint``."""
    rows = []
    for index in range(SETS["sequences"] or 0):
        moving = draw_sequence("sequences", index)
        landmarks = [rows_of_points(moving.landmarks_at(frame).round(3)) for frame in FROZEN_FRAMES]
        rows.append(json.dumps({"name": moving.name, "frames": FROZEN_FRAMES, "landmarks": landmarks}))
    Path(path).write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    freeze(resource_path("skeleton.json").with_name("sequences.json"))
