"""The splits of the simulated subjects, by name.

Sim-152 is the fixed benchmark, after the paper's 152 volumes (section 3): 100 subjects to train on and 52 to test, with
24 of validation for every choice, and 24 *shifted* ones that no training sees. *Fresh* subjects are without end and
share no seed with the others.

Version 1 (``train``, ``validation``, ``test``, ``shifted``, ``fresh``) floats freely in dark fluid, wholly in the field
of a transabdominal probe; shifted are a transvaginal probe, gain and dynamic range outside the training range, and
bodies two standard deviations off in size.

Version 2 (the same names with a 2) has what real volumes show, drawn as a `Scenario`: contact, haze, tight fields that
cut limbs, three probe families. ``shifted2`` are gain and dynamic range outside the training range, bodies two standard
deviations off in size, and a build and tissues beyond physics. ``left-out2`` are without end, to validate on factors
that a training left out. ``scanner2`` are without end, too: another scanner and bodies of another build, neither of
which any training sees (`other_scanner`); adapting is measured on it. ``absent2`` and ``fresh-absent2`` hold no fetus
of the first trimester. Each split of version 2 with a fetus has a twin, such as ``test2-standard``, of the same
subjects in *standard presentation*: within `datasets.STANDARD_RANGE` degrees of head to one side and face to the probe.
``sequences`` and ``fresh-sequences`` are the subjects, at rest, of `sequences`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Split:
    """``word`` begins the seeds of its subjects, ``count`` is how many there are (None: without end).

    ``version`` of the simulator; ``presentation`` "any" or "standard"; ``absent``: no fetus; ``shifted``: beyond
    training's ranges; ``scanner``: of `other_scanner`; ``beyond_physics``: share of subjects whose tissues or build are
    drawn at random; ``whole``: one fetus, wholly in the field.
    """

    word: int
    count: int | None
    version: int = 1
    presentation: str = "any"
    absent: bool = False
    shifted: bool = False
    scanner: bool = False
    beyond_physics: float = 0.3
    whole: bool = False


_VERSION_2 = {
    "train2": Split(11, 100, 2),
    "validation2": Split(12, 24, 2, beyond_physics=0.0),
    "test2": Split(13, 52, 2, beyond_physics=0.0),
    "shifted2": Split(14, 24, 2, shifted=True, beyond_physics=1.0),
    "fresh2": Split(15, None, 2),
    "left-out2": Split(18, None, 2, beyond_physics=0.0),
    "scanner2": Split(19, None, 2, scanner=True, beyond_physics=0.0),
}
SPLITS = {
    "train": Split(1, 100),
    "validation": Split(2, 24),
    "test": Split(3, 52),
    "shifted": Split(4, 24, shifted=True),
    "fresh": Split(5, None),
    **_VERSION_2,
    **{f"{name}-standard": replace(split, presentation="standard") for name, split in _VERSION_2.items()},
    "absent2": Split(16, 100, 2, absent=True, beyond_physics=0.0),
    "fresh-absent2": Split(17, None, 2, absent=True),
    "sequences": Split(21, None, 2, beyond_physics=0.0, whole=True),
    "fresh-sequences": Split(22, None, 2, beyond_physics=0.0, whole=True),
}


def find_split(split: str, index: int) -> Split:
    """The split of a subject; ValueError if there is no such split or subject."""
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    count = SPLITS[split].count
    if not 0 <= index < (count or 2**62):
        raise ValueError(f"Split {split!r} has subjects 0 to {(count or 2**62) - 1}, not {index}.")
    return SPLITS[split]
