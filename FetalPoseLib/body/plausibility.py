"""What a person should check in a pose, and why, as sentences.

Nothing here changes a pose. A landmark is doubtful where the network was not sure of it; a segment where it is much
longer or shorter than the rest of the body suggests, or than its partner on the other side; a pair of limbs, or the
whole body, where the library's bodies fit better with left and right exchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton

LANDMARK_CHECK_CONFIDENCE = 0.35  # below which a landmark without a radius should be checked
#: Radius over crown-rump length from which a landmark should be checked. In cross-validation over 84 subjects it marks
#: 2.7 % of the landmarks and finds 57 % of those that are off by more than 6 % of that length; the confidence above
#: marks 1.4 % and finds 37 %. On 52 test subjects these are 6.0 % and 59 %, and 3.0 % and 32 %.
CHECK_RADIUS_TO_CRL = 0.08
FETUS_CONFIDENCE = 0.5  # mean confidence of two passes from which a volume holds a fetus; others reach 0.49
ONE_PASS_FETUS_CONFIDENCE = 0.35  # the same of one pass over the whole volume, which tells less: others reach 0.5
POSE_CHECK_CONFIDENCE = 0.57  # mean confidence below which the whole pose should be checked
TOO_FAR = 4.0  # standard deviations of a length: of the library's bodies, and of placing its ends
PLACING_MM = 1.2  # how exactly two ends are placed, in their distance
SIDE_RATIO = 1.25  # of a segment to its partner, which in all known bodies is as long
SIDE_MM = 3.5  # and their difference: three times the error of placing two ends
EXCHANGED = 0.6  # misfit with the sides exchanged over misfit as they are
TRUNK_TO_CRL = 0.486  # spinal column from C7-T1 to sacrum over crown-rump length, mean of the simulated bodies
CRL_RANGE = (31.0, 90.0)  # mm: 10 to 14 weeks


@dataclass(frozen=True)
class Doubt:
    """A reason to look twice.

    Attributes
    ----------
    landmarks : indices that it concerns
    segments : indices of segments that it concerns
    reason : str, a sentence for the user
    exchange : tuple of limb names whose exchange would mend it, ("body",) for the whole body, or ()
    """

    landmarks: tuple[int, ...]
    reason: str
    segments: tuple[int, ...] = ()
    exchange: tuple[str, ...] = ()


def crown_rump_length(points) -> float:
    """Crown-rump length in mm of a pose (16, 3), from its spinal column; NaN where a part of that is not visible."""
    neck, spine, sacrum = (np.asarray(points)[load_skeleton().index(name)] for name in ("neck", "spine", "sacrum"))
    return float((np.linalg.norm(neck - spine) + np.linalg.norm(spine - sacrum)) / TRUNK_TO_CRL)


def holds_fetus(confidence, *, two_passes: bool = True) -> bool:
    """Whether the confidence (16,) of a pose's landmarks is as high as in a volume that holds a fetus."""
    limit = FETUS_CONFIDENCE if two_passes else ONE_PASS_FETUS_CONFIDENCE
    return bool(np.mean(confidence) >= limit)


def warnings_of(points, confidence, *, two_passes: bool = True) -> list[str]:
    """What a person should know of a whole pose before using it, as sentences.

    Parameters
    ----------
    points : (16, 3) mm, NaN where not visible
    confidence : (16,) in 0..1
    two_passes : whether the model looks for the fetus first; one pass over the whole volume has other limits
    """
    mean = np.mean(confidence)
    if not holds_fetus(confidence, two_passes=two_passes):
        limit = FETUS_CONFIDENCE if two_passes else ONE_PASS_FETUS_CONFIDENCE
        return [
            f"This volume may hold no fetus, or the fetus was not found: the mean confidence of its landmarks is "
            f"{mean:.2f}, where {limit:g} and more is usual. Do not use these numbers."
        ]
    found = []
    if mean < POSE_CHECK_CONFIDENCE:
        found.append(
            f"The model is unsure of this pose: the mean confidence is {mean:.2f}, where {POSE_CHECK_CONFIDENCE:g} and "
            "more is usual. Is the whole fetus in the volume? Check every landmark."
        )
    crl = crown_rump_length(points) if FetalFrame.find(points) is not None else np.nan
    if not np.isfinite(crl):
        found.append("The trunk is not fully visible, so the size of the fetus is unknown.")
    elif not crown_rump_length_is_known(crl):
        found.append(
            f"The crown-rump length is about {crl:.0f} mm, outside the {CRL_RANGE[0]:.0f} to {CRL_RANGE[1]:.0f} mm of "
            "10 to 14 weeks that the model was trained on. Check the volume's spacing."
        )
    return found


def crown_rump_length_is_known(crl_mm: float) -> bool:
    """Whether the model was trained on fetuses of this crown-rump length."""
    return CRL_RANGE[0] <= crl_mm <= CRL_RANGE[1]


def unsure(points, confidence=None, radius_mm=None) -> np.ndarray:
    """Whether the model is unsure of a landmark, (16,) bool: by its radius where there is one, else by its confidence.

    Parameters
    ----------
    points : (16, 3) mm, NaN where not visible: of such the model is not unsure
    confidence : (16,) in 0..1, NaN where unknown; optional
    radius_mm : (16,) `Estimate.radius_mm`, NaN where unknown; optional
    """
    points = np.asarray(points, dtype=np.float64)
    unknown = np.full(len(points), np.nan)
    confidence, radius = (unknown if a is None else np.asarray(a, np.float64) for a in (confidence, radius_mm))
    crl = crown_rump_length(points)
    limit = CHECK_RADIUS_TO_CRL * (crl if np.isfinite(crl) else np.mean(CRL_RANGE))
    with np.errstate(invalid="ignore"):
        found = np.where(np.isfinite(radius), radius > limit, confidence < LANDMARK_CHECK_CONFIDENCE)
    return found & np.isfinite(points).all(axis=1)


def doubts(points, confidence=None, library=None, *, placed: Collection[int] = (), radius_mm=None) -> list[Doubt]:
    """All that should be checked in a pose, the weightiest first.

    Parameters
    ----------
    points : (16, 3) mm, NaN where not visible
    confidence : (16,) in 0..1, NaN where unknown; optional
    library : PoseLibrary, optional
        Without it only confidence and sides are judged.
    placed : indices
        Landmarks that a person has placed: nobody doubts their confidence.
    radius_mm : (16,), optional
        In 90 % of cases the truth lies within, NaN where unknown.
    """
    points = np.asarray(points, dtype=np.float64)
    found = []
    if library is not None:
        found += _exchanged(points, library) + _odd_lengths(points, library)
    odd = {segment for doubt in found for segment in doubt.segments}
    found += [doubt for doubt in _uneven_sides(points) if not odd & set(doubt.segments)]
    return found + _unsure(points, confidence, radius_mm, placed)


def checks_of_lengths(found: Sequence[Doubt], warnings: Sequence[str] = ()) -> list[str]:
    """Per segment what its length should be checked for: what is said of the whole pose, of it and of its two ends."""
    texts = []
    for i, segment in enumerate(load_skeleton().segments):
        own = [
            doubt.reason for doubt in found if i in doubt.segments or {segment.start, segment.end} & {*doubt.landmarks}
        ]
        texts.append(" ".join(dict.fromkeys([*warnings, *own])))
    return texts


def _unsure(points: np.ndarray, confidence, radius_mm, placed: Collection[int]) -> list[Doubt]:
    found = []
    for i in np.flatnonzero(unsure(points, confidence, radius_mm)):
        if i in placed:
            continue
        known = radius_mm is not None and np.isfinite(radius_mm[i])
        why = f"may be off by {radius_mm[i]:.1f} mm" if known else f"confidence {confidence[i]:.2f}"
        found.append(Doubt((int(i),), f"The model is unsure of the {_words(load_skeleton().landmarks[i])} ({why})."))
    return found


def _odd_lengths(points: np.ndarray, library) -> list[Doubt]:
    """Segments whose length does not go with the size that the others give."""
    skeleton = library.skeleton
    logs = np.log(np.maximum(segment_lengths(library.poses, skeleton), 1e-6))
    mean = logs.mean(axis=0)
    size = np.median(logs - mean, axis=1, keepdims=True)
    spread = (logs - size).std(axis=0)
    with np.errstate(divide="ignore"):
        lengths = segment_lengths(points, skeleton)
        deviation = np.log(lengths) - mean
    if np.isfinite(deviation).sum() < 5:
        return []
    own = np.median(deviation[np.isfinite(deviation)])
    expected = np.exp(mean + own)
    found = []
    with np.errstate(invalid="ignore"):
        odd = np.abs(lengths - expected) > TOO_FAR * np.hypot(spread * expected, PLACING_MM)
    for i in np.flatnonzero(odd):
        segment, word = skeleton.segments[i], "long" if deviation[i] > own else "short"
        found.append(
            Doubt(
                (segment.start, segment.end),
                f"The {_words(segment.name)} is {word}: {lengths[i]:.1f} mm, where the rest of the body suggests about "
                f"{expected[i]:.1f} mm.",
                (int(i),),
            )
        )
    return found


def _uneven_sides(points: np.ndarray) -> list[Doubt]:
    skeleton, found = load_skeleton(), []
    names = [segment.name for segment in skeleton.segments]
    lengths = segment_lengths(points, skeleton)
    for right, name in enumerate(names):
        if not name.startswith("right_"):
            continue
        left = names.index("left_" + name.removeprefix("right_"))
        longer, shorter = max(lengths[left], lengths[right]), min(lengths[left], lengths[right])
        if longer > SIDE_RATIO * shorter and longer - shorter > SIDE_MM:
            what = _words(name.removeprefix("right_"))
            ends = {end for i in (left, right) for end in (skeleton.segments[i].start, skeleton.segments[i].end)}
            both = f"left {lengths[left]:.1f} mm, right {lengths[right]:.1f} mm"
            found.append(Doubt(tuple(sorted(ends)), f"The {what} differs between the sides: {both}.", (left, right)))
    return found


def _exchanged(points: np.ndarray, library) -> list[Doubt]:
    """The exchange of sides that makes the library's bodies fit much better, if there is one."""
    skeleton = library.skeleton
    choices: dict[tuple[str, ...], np.ndarray] = {("body",): skeleton.mirror}
    for limb in skeleton.limbs:
        if limb.startswith("left_"):
            choices[limb, skeleton.partner(limb)] = skeleton.exchange([limb])
    if not all(library.can_register(points[order]) for order in [np.arange(len(points)), *choices.values()]):
        return []
    now = _misfit(points, library)
    misfits = {limbs: _misfit(points[order], library) for limbs, order in choices.items()}
    best = min(misfits, key=lambda limbs: misfits[limbs])
    if not misfits[best] < EXCHANGED * now:
        return []
    what = "of the whole body" if best == ("body",) else f"of the {best[0].removeprefix('left_')}s"
    concerned = tuple(int(i) for i in np.flatnonzero(choices[best] != np.arange(len(skeleton))))
    reason = (
        f"Left and right {what} may be exchanged: known bodies fit to {misfits[best]:.1f} mm with the sides exchanged, "
        f"to {now:.1f} mm as they are."
    )
    return [Doubt(concerned, reason, (), best)]


def _misfit(points: np.ndarray, library) -> float:
    """Root mean square distance in mm to the atlas that fits best."""
    visible = np.isfinite(points).all(axis=1).sum()
    return float(np.sqrt(library.register(points, similarity=True).residual.min() / visible))


def _words(name: str) -> str:
    return name.replace("_", " ")
