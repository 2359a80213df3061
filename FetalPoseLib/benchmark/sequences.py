"""Volumes over time: following and joining against frame by frame, on the ten simulated sequences.

Frame by frame is what `fetalpose estimate` does with each volume alone. Errors are means over the landmarks in the
sector, in the volumes in which both found the fetus. Jitter is that of landmarks at rest, which truly move slower than
`REST_MM_S`: the standard deviation, along an axis, of the error's change from volume to volume, over the square root of
two. A change of side is a limb that is nearer to its partner's true place in one volume and not in the next.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.records import Records
from FetalPoseLib.benchmark.report import Folder, markdown, model_origin, origin
from FetalPoseLib.benchmark.sequence_cases import SequenceCase, open_sequence_case
from FetalPoseLib.body.joint_angles import flexion_deg
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.evaluation.metrics import wrong_side_limbs
from FetalPoseLib.evaluation.movie import draw_strip
from FetalPoseLib.simulation.sequences import SPACING_MM
from FetalPoseLib.tracking.activity import activity_of
from FetalPoseLib.tracking.joining import Track, join
from FetalPoseLib.tracking.observation import Observation
from FetalPoseLib.tracking.options import JoinOptions

REST_MM_S = 6.0
PICTURED, MOMENTS = 5, 4  # the sequence that is drawn, and in how many moments
#: What is compared: frame by frame; each volume as it was followed; with bones of constant length; smoothed; and both.
METHODS = ("alone", "followed", "bones", "smoothed", "joined")


def measure(
    estimator: Estimator, which: str, indices: range, output: Path, *, model: str, fresh: bool = False
) -> list[dict]:
    """Measure sequences of a set, and write sequences.csv, sequences.md and sequences.jsonl; the table.

    What was measured before is kept, so that a run that was stopped goes on.
    """
    header = origin("sequences") | model_origin(estimator, model)
    header |= {"split": which, "spacing_mm": SPACING_MM, "iterations": 6}
    records = Records(Path(output) / f"{which}.jsonl", header, fresh=fresh)
    for index in tqdm(indices, desc=which, file=sys.stderr, leave=False):
        if f"{which}-{index:03d}" not in records:
            case = open_sequence_case(which, index)
            row, track = _measured(estimator, case)
            records.append(row)
            if index == PICTURED:
                draw_strip(Path(output) / f"{which}.png", case.volume, track.points, case.times, MOMENTS)
    return write_tables(Path(output), records)


def write_tables(output: Path, records: Records) -> list[dict]:
    """The tables of records: a row per sequence, and one of the means of all."""
    rows = [_row(row) for row in sorted(records.rows, key=lambda row: row["name"])]
    numbers = [key for key, value in rows[0].items() if not isinstance(value, str)]
    means = {key: _mean([row[key] for row in rows]) for key in numbers}
    table = [*rows, {**{key: "" for key in rows[0]}, **means, "sequence": f"mean of {len(rows)}"}]
    out = Folder(output, [records.header])
    out.csv("sequences.csv", table)
    about = " ".join(" ".join((__doc__ or "").split("\n\n")[1].split()).replace("`", "").split())
    seen = [
        {"sequence": row["name"], "true": ", ".join(row["true"]) or "rest", "found": ", ".join(row["found"]) or "rest"}
        for row in sorted(records.rows, key=lambda row: row["name"])
    ]
    out.markdown("sequences.md", "Volumes over time", about, markdown(table), "## Movements", markdown(seen))
    return table


def _measured(estimator: Estimator, case: SequenceCase) -> tuple[dict, Track]:
    """The record of a sequence, and its track."""
    alone, alone_s = _alone(estimator, case)
    observations, followed_s, processor_s = _followed(estimator, case)
    usual, bare = JoinOptions(), JoinOptions(sides=False, smooth=None, bones=None)
    tracks = {
        "alone": join(alone, case.times, bare), "followed": join(observations, case.times, bare),
        "bones": join(observations, case.times, replace(usual, smooth=None)),
        "smoothed": join(observations, case.times, replace(usual, bones=None)),
        "joined": join(observations, case.times, usual),
    }  # fmt: skip
    both = tracks["alone"].found & tracks["followed"].found
    activity = activity_of(tracks["joined"])
    there = np.isfinite(case.landmarks).any(axis=(1, 2))
    row = {
        "name": case.name, "kinds": list(case.kinds), "rate": round(float(1 / np.diff(case.times).mean()), 2),
        "volumes": len(case.times), "with_fetus": int(there.sum()),
        "found": [] if activity is None else [event.kind for event in activity.events],
        "true": [episode.kind for episode in case.episodes],
        "found_alone": int((tracks["alone"].found & there).sum()),
        "found_followed": int((tracks["followed"].found & there).sum()),
        "false_volumes": int((tracks["followed"].found & ~there).sum()),
        "seconds_alone": round(alone_s, 3), "seconds_followed": round(followed_s, 3),
        "processor_s_followed": round(processor_s, 3),
        **{name: _measures(track, case, both) for name, track in tracks.items()},
    }  # fmt: skip
    return row, tracks["joined"]


class _Frames:
    """The volumes of a case, as `tracking` takes them."""

    def __init__(self, case: SequenceCase):
        self.case, self.times = case, case.times

    def __len__(self) -> int:
        return len(self.case.times)

    def volume(self, frame: int):
        return self.case.volume(frame)


def _alone(estimator: Estimator, case: SequenceCase) -> tuple[list[Observation], float]:
    """Each volume by itself, and the median of its seconds."""
    found, seconds = [], []
    for frame in range(len(case.times)):
        start = time.perf_counter()
        try:
            estimate = estimator.estimate(case.volume(frame))
            found.append(Observation(estimate.points, estimate.confidence, estimate.holds_fetus))
        except FetalPoseError as error:
            found.append(Observation.nothing(len(load_skeleton()), str(error)))
        seconds.append(time.perf_counter() - start)
    return found, float(np.median(seconds))


def _followed(estimator: Estimator, case: SequenceCase) -> tuple[list[Observation], float, float]:
    """The sequence as it is followed, and the medians of the seconds per volume, without the search at the beginning.

    The second is the time of all processor cores together, which does not depend on what else the machine does.
    """
    found: dict[int, Observation] = {}
    seconds, start = [], np.array([time.perf_counter(), time.process_time()])
    for seen in estimator.follow(_Frames(case)):
        now = np.array([time.perf_counter(), time.process_time()])
        seconds.append(now - start)
        found[seen.frame] = seen.observation
        start = np.array([time.perf_counter(), time.process_time()])
    wall, processor = np.median(seconds[1:], axis=0).tolist()
    return [found[frame] for frame in range(len(case.times))], wall, processor


def _measures(track: Track, case: SequenceCase, both: np.ndarray) -> dict:
    """Error, jitter, side changes and angle error of a track."""
    offset = track.points - case.landmarks
    errors = np.linalg.norm(offset, axis=2)
    speed = np.linalg.norm(np.gradient(case.landmarks, case.times, axis=0), axis=2)
    resting = (speed[1:] < REST_MM_S) & (speed[:-1] < REST_MM_S)
    changes = np.diff(offset, axis=0)[resting] / np.sqrt(2)
    changes = changes[np.isfinite(changes).all(axis=1)]
    angles = np.abs(flexion_deg(track.points) - flexion_deg(case.landmarks))
    return {
        "error_mm": _number(np.nanmean(errors[both])) if both.any() else None,
        "median_mm": _number(np.nanmedian(errors[both])) if both.any() else None,
        "jitter_mm": _number(np.sqrt((changes**2).mean())) if len(changes) else None,
        "side_changes": side_changes(track.points, case.landmarks),
        "angle_deg": _number(np.nanmedian(angles)) if np.isfinite(angles).any() else None,
    }


def side_changes(points: np.ndarray, truth: np.ndarray) -> int:
    """How often a limb changes sides from one volume with the fetus to the next: poses (T, 16, 3)."""
    there = np.isfinite(points).any(axis=(1, 2)) & np.isfinite(truth).any(axis=(1, 2))
    wrong = np.array([wrong_side_limbs(p[None], q[None])[0] for p, q in zip(points[there], truth[there], strict=True)])
    return int(np.abs(np.diff(wrong)).sum()) if len(wrong) > 1 else 0


def _row(record: dict) -> dict:
    row = {
        "sequence": record["name"], "movement": ", ".join(record["kinds"]), "volumes_per_s": record["rate"],
        "with_fetus": record["with_fetus"], "found_alone": record["found_alone"],
        "found_followed": record["found_followed"], "false": record["false_volumes"],
    }  # fmt: skip
    for measure_name in ("error_mm", "median_mm", "jitter_mm", "side_changes", "angle_deg"):
        row |= {f"{measure_name} {method}": record[method][measure_name] for method in METHODS}
    row["s alone"], row["s followed"] = record["seconds_alone"], record["seconds_followed"]
    row["processor s followed"] = record["processor_s_followed"]
    return row


def _mean(values: list) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value) -> float:
    return round(float(value), 4)
