"""How far standard planes, crown-rump length and posture are from the truth of simulated bodies.

Poses are read from the records of `accuracy`: the refined ones of volumes in which a fetus counts as found, beside the
true landmarks within the sector. A plane's angle is that between the two planes, or between the plane and the bone that
should lie in it; its offset is the distance of the true plane's middle from the plane.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.accuracy import records_path
from FetalPoseLib.benchmark.cases import CASES, open_case
from FetalPoseLib.benchmark.records import IDENTITY, Records, read_records
from FetalPoseLib.benchmark.report import make_folder, origin
from FetalPoseLib.benchmark.tables import Run, counts_as_found
from FetalPoseLib.body.crown_rump import CrownRump, crown_rump_of_pose
from FetalPoseLib.body.dating import GestationalAge, gestational_age
from FetalPoseLib.body.planes import standard_planes
from FetalPoseLib.body.posture import HINGES, HIPS, Posture, posture_of
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.measurement.crown_rump import crown_rump_length
from FetalPoseLib.measurement.head_turn import head_turn_deg
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.simulation.kinematics import Body
from FetalPoseLib.simulation.standard_planes import true_planes
from FetalPoseLib.simulation.true_posture import (
    cranial_dorsal_hip_deg,
    crown_rump_mm,
    head_trunk_deg,
    hip_flexion_deg,
)
from FetalPoseLib.volume.grid import Volume


def measure(
    folder: Path, split: str, subjects: Iterable[int], *, model: str, refinement: str, spacing: float,
    cases: Path = CASES, fresh: bool = False,
) -> Records:  # fmt: skip
    """Measure the subjects of ``split`` that have no record yet, one JSON line each in ``folder/planes_*.jsonl``.

    Raises
    ------
    FetalPoseError
        The folder holds no records of accuracy for this model, refinement and split, or none of a subject.
    """
    path = records_path(make_folder(folder), Path(model).stem, refinement, split)
    if not path.exists():
        raise FetalPoseError(f"There are no records {path}. Measure accuracy on {split} first.")
    run = Run(*read_records(path))
    known = {row["name"]: i for i, row in enumerate(run.rows)}
    header = origin(f"planes --split {split}") | {key: run.header[key] for key in IDENTITY if key in run.header}
    records = Records(folder / path.name.replace("accuracy_", "planes_", 1), header, fresh=fresh)
    found, seen = run.poses("refined"), run.truth
    names = [f"{split}-{index:03d}" for index in subjects]
    for name in tqdm([n for n in names if n not in records], desc=split, unit="volume", file=sys.stderr, leave=False):
        if name not in known:
            raise FetalPoseError(f"{path} has no record of {name}. Measure accuracy on it first.")
        row, index = known[name], int(name.rsplit("-", 1)[1])
        body = draw_subject(split, index).body
        volume = open_case(split, index, spacing=spacing, folder=cases).volume
        poses = {"true": seen[row]} | ({"estimated": found[row]} if counts_as_found(run.rows[row]) else {})
        errors = {key: errors_of(pose, body, volume) for key, pose in poses.items()}
        records.append({"name": name, **truth_of(body), **errors})
    return records


def truth_of(body: Body) -> dict:
    """What a record tells of the body itself."""
    return {
        "weeks": round(body.biometry.weeks, 2),
        "crown_rump_mm": round(crown_rump_mm(body), 2),
        "cranial_dorsal_hip_deg": round(cranial_dorsal_hip_deg(body), 1),
    }


def errors_of(pose: np.ndarray, body: Body, volume: Volume) -> dict:
    """Planes, lengths, age and angles of a pose (16, 3) RAS mm beside those of the body, as JSON holds them.

    ``planes``: angle in degrees and offset in mm by name. ``pose`` and ``volume``: crown-rump length - true length in
    mm, whether its interval holds that, and its source. ``age``: days - true days, and whether the interval holds them;
    None where there is no age. ``posture``: angle - true angle in degrees by name.
    """
    truth, planes = true_planes(body), {}
    for plane in standard_planes(pose, head_turn_deg=head_turn_deg(volume, pose)):
        true = truth[plane.name]
        offset = true.offset_from(plane.origin, plane.normal)
        planes[plane.name] = [round(true.angle_to(plane.normal), 2), round(offset, 2)]
    posture, lengths = posture_of(pose), {"pose": crown_rump_of_pose(pose), "volume": crown_rump_length(volume, pose)}
    age = gestational_age(lengths["volume"], posture.state)
    return {
        "planes": planes,
        **{name: _length(length, crown_rump_mm(body)) for name, length in lengths.items()},
        "state": posture.state,
        "age": _age(age, 7 * body.biometry.weeks) if isinstance(age, GestationalAge) else None,
        "posture": _angles(posture, body),
    }


def _length(found: CrownRump | None, truth: float) -> list | None:
    if found is None:
        return None
    low, high = found.interval_mm
    return [round(found.length_mm - truth, 2), int(low <= truth <= high), found.source]


def _age(found: GestationalAge, days: float) -> list:
    low, high = found.interval_days
    return [round(found.days - days, 1), int(low <= days <= high)]


def _angles(posture: Posture, body: Body) -> dict[str, float]:
    true = posture_of(body.landmarks).flexion_deg  # elbows and knees: the angles between the true landmarks
    pairs = {name: (posture.flexion_deg[name], true[name]) for name in HINGES}
    pairs |= {hip: (posture.flexion_deg[hip], hip_flexion_deg(body, hip.split("_")[0])) for hip in HIPS}
    pairs["head_trunk"] = posture.head_trunk_deg, head_trunk_deg(body)
    pairs["cranial_dorsal_hip"] = posture.cranial_dorsal_hip_deg, cranial_dorsal_hip_deg(body)
    return {name: round(float(angle - of), 1) for name, (angle, of) in pairs.items() if np.isfinite(angle)}
