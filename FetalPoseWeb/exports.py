"""Files of a pose for a person to take along: the pose, the table of lengths, the picture."""

from __future__ import annotations

import asyncio
from pathlib import Path

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import plain
from FetalPoseLib.session import PoseSession
from FetalPoseLib.session.estimate_file import PICTURE_NOTE
from FetalPoseWeb.desk import Desk

SUFFIXES = {"pose": ".mrk.json", "table": ".csv", "picture": ".png"}


async def export(what: str, session: PoseSession, desk: Desk, folder: Path) -> Path:
    """Write one of `SUFFIXES` into a folder; its path.

    Raises
    ------
    FetalPoseError
        There is no such file, there is no pose, or the picture lacks a volume.
    """
    if what not in SUFFIXES:
        raise FetalPoseError(f"There is no file '{what[:40]}'. Choose one of {', '.join(SUFFIXES)}.")
    if desk.pose is None:
        raise FetalPoseError("There is no pose yet. Click Estimate Pose, or import one.")
    name = plain(desk.pose.GetName()).replace("/", "_").replace("\\", "_").lstrip(".") or "pose"
    path = folder / f"{name}{SUFFIXES[what]}"
    if what == "pose":
        session.export_pose(desk.pose, path)
    elif what == "table":
        session.export_table(desk.pose, path)
    else:
        await _draw(desk, path)
    return path


async def _draw(desk: Desk, path: Path) -> None:
    if desk.volume is None:
        raise FetalPoseError("The picture shows the pose over its volume. Open the volume first.")
    from FetalPoseLib.evaluation.pose_picture import draw_pose  # which imports matplotlib

    volume, pose = mrml.volume_from_node(desk.volume), desk.pose
    known = {
        "confidence": mrml.confidence_of(pose),
        "radius_mm": mrml.radius_of(pose),
        "length_interval_mm": mrml.length_intervals_of(pose),
    }
    points = mrml.points_of(pose)
    await asyncio.to_thread(draw_pose, path, volume, points, title=desk.volume_name, note=PICTURE_NOTE, **known)
