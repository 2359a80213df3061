"""The clinical measures of a pose node: crown-rump length, gestational age, posture, bones; kept as its measurements.

They follow from the points, so they are computed again whenever one moves. Only what was found in the volume, the
crown-rump length and the turn of the head, cannot be: it is kept as an attribute, and counts as long as head and sacrum
are as far apart as they were.
"""

from __future__ import annotations

import json

import numpy as np
import slicer

from FetalPoseLib.body.clinical import DIGITS, Measure, clinical_measures
from FetalPoseLib.body.crown_rump import CrownRump
from FetalPoseLib.body.dating import FORMULA, FORMULAS
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.scene.markups_file import PREFIX
from FetalPoseLib.scene.pose import points_of

CROWN_RUMP = PREFIX + "CrownRump"  # the length found in the volume, as JSON
HEAD_TURN = PREFIX + "HeadTurn"  # of the head about its long axis, found in the volume, as JSON
AGE_FORMULA = PREFIX + "AgeFormula"  # a key of `dating.FORMULAS`
SAME_MM = 0.02  # between two distances from head to sacrum that count as the same; they are stored to 0.01 mm


def set_crown_rump(node, found: CrownRump | None) -> None:
    """Keep a crown-rump length that was found in the volume with a pose node; None forgets it."""
    if found is None:
        node.RemoveAttribute(CROWN_RUMP)
        return
    stored = {
        "length_mm": round(found.length_mm, 2),
        "interval_mm": [round(end, 2) for end in found.interval_mm],
        "source": found.source,
        "head_sacrum_mm": round(_head_sacrum_mm(points_of(node)), 2),
    }
    node.SetAttribute(CROWN_RUMP, json.dumps(stored))


def crown_rump_of(node) -> CrownRump | None:
    """What `set_crown_rump` kept; None where there is nothing, or head or sacrum moved since."""
    return _kept(node, points_of(node))


def set_head_turn(node, turn_deg: float | None) -> None:
    """Keep what `measurement.head_turn` found with a pose node; None forgets it."""
    if turn_deg is None:
        node.RemoveAttribute(HEAD_TURN)
        return
    stored = {"turn_deg": round(turn_deg, 1), "head_sacrum_mm": round(_head_sacrum_mm(points_of(node)), 2)}
    node.SetAttribute(HEAD_TURN, json.dumps(stored))


def head_turn_of(node) -> float | None:
    """What `set_head_turn` kept, in degrees for `body.planes.standard_planes`; None as of `crown_rump_of`."""
    try:
        stored = json.loads(node.GetAttribute(HEAD_TURN) or "null")
        turn = float(stored["turn_deg"])
        moved = not abs(stored["head_sacrum_mm"] - _head_sacrum_mm(points_of(node))) <= SAME_MM
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # none, or edited by hand
        return None
    return turn if not moved and abs(turn) <= 180 else None


def measures_of(node) -> list[Measure]:
    """All clinical measures of a pose node, see `body.clinical`."""
    return _measures(node, points_of(node))


def update_measures(node, points: np.ndarray) -> None:
    """Make the clinical measurements of a pose node agree with its points (16, 3) in RAS mm."""
    for measure in _measures(node, points):
        measurement = node.GetMeasurement(measure.name)
        if measurement is None:
            measurement = slicer.vtkMRMLStaticMeasurement()
            measurement.SetName(measure.name)
            measurement.SetUnits(measure.unit)
            measurement.SetPrintFormat(f"%.{DIGITS[measure.unit]}f %s")
            node.AddMeasurement(measurement)
        measurement.SetDescription(_description(measure))
        if np.isfinite(measure.value):
            measurement.SetValue(float(measure.value))
        else:
            measurement.ClearValue()


def _measures(node, points: np.ndarray) -> list[Measure]:
    formula = node.GetAttribute(AGE_FORMULA)
    return clinical_measures(
        points, crown_rump=_kept(node, points), formula=formula if formula in FORMULAS else FORMULA
    )


def _kept(node, points: np.ndarray) -> CrownRump | None:
    try:
        stored = json.loads(node.GetAttribute(CROWN_RUMP) or "null")
        if not abs(stored["head_sacrum_mm"] - _head_sacrum_mm(points)) <= SAME_MM:
            return None
        low, high = stored["interval_mm"]
        return CrownRump(float(stored["length_mm"]), (float(low), float(high)), stored["source"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # none, or edited by hand
        return None


def _head_sacrum_mm(points: np.ndarray) -> float:
    head, sacrum = (points[load_skeleton().index(name)] for name in ("head", "sacrum"))
    return float(np.linalg.norm(head - sacrum))


def _description(measure: Measure) -> str:
    digits = DIGITS[measure.unit]
    within = f"90 % within {measure.low:.{digits}f} to {measure.high:.{digits}f} {measure.unit}"
    return "; ".join(part for part in (within if np.isfinite(measure.low) else "", measure.note) if part)
