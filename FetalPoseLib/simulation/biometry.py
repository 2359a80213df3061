"""Fetal size between 9 and 14 weeks: published charts, and what a body of joints needs that charts do not measure.

Charts measure what ultrasound shows: crown and rump, the skull's outline, the ossified *shafts* of long bones. A
skeleton's segment runs from joint centre to joint centre, so it also spans the cartilage at both ends of the shaft:

    segment = ossified shaft + cartilage at the proximal end + cartilage at the distal end

Sources
-------
CRL : the chart of `body.age`.
BPD, OFD, AC, femur, humerus : after the weekly medians at 11 to 14 weeks, with 2 SD, tabulated in whole mm in
    http://www.rojin.hofstede.nl/groeicurve.htm: within 1 mm of it, because growth from week to week is smoothed, and
    with one SD relative to the median for all weeks. 9 and 10 weeks are a continuation. The range at these ages agrees
    with von Kaisenberg et al., Ultrasound Obstet Gynecol 2002;20:564-574 (11 to 14 weeks, transabdominal).
Tibia, ulna : ratios to femur and humerus, after the limb charts of Chitty and Altman, BJOG 2002;109:919-929.
Cartilage : reasoned, not charted. At 10 weeks about half of a femur is bone, at 14 weeks about four fifths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.age import crl_mean_sd
from FetalPoseLib.simulation.build import Build

VERTEBRAE = {"lumbar": 7, "thoracic": 12, "cervical": 7}  # L5 to L1 with the upper sacrum; T12 to T1; C7 to C1
WEEKS = np.array([9.0, 10.0, 11.0, 12.0, 13.0, 14.0])
#: Weekly medians (mm) and standard deviation as a fraction of the median.
CHARTS = {
    "bpd": (np.array([9.0, 12.5, 16.0, 20.0, 24.0, 28.0]), 0.065),
    "ofd": (np.array([12.0, 16.5, 21.0, 25.0, 29.5, 34.0]), 0.060),
    "ac": (np.array([30.0, 41.0, 52.0, 63.0, 74.0, 84.0]), 0.080),
    "femur": (np.array([2.4, 4.5, 7.0, 9.0, 11.5, 14.5]), 0.110),
    "humerus": (np.array([2.4, 4.5, 7.0, 9.0, 11.0, 14.0]), 0.110),
}
TIBIA_TO_FEMUR = 0.87
ULNA_TO_HUMERUS = 0.90
#: Part of a body's size that all its measures share, as a correlation between their z-scores.
SHARED_SIZE = 0.8


@dataclass(frozen=True)
class Biometry:
    """Measures of one fetus, in mm; ``weeks`` is the gestational age in weeks, 9 to 14.

    ``femur``, ``tibia``, ``humerus`` and ``ulna`` are ossified shafts as charts have them; ``thigh``, ``shank``,
    ``upper_arm`` and ``forearm`` run from joint centre to joint centre.
    """

    weeks: float
    crl: float
    bpd: float
    ofd: float
    ac: float
    femur: float
    tibia: float
    humerus: float
    ulna: float
    build: Build = Build()

    @property
    def epiphysis(self) -> float:
        """Cartilage between the end of a shaft and the centre of its joint (mm), growing slowly with the body."""
        return 1.0 + 0.008 * self.crl

    @property
    def thigh(self) -> float:
        """Hip to knee joint, mm."""
        return self.femur + 2 * self.epiphysis

    @property
    def shank(self) -> float:
        """Knee to ankle joint, mm."""
        return self.tibia + 2 * self.epiphysis

    @property
    def upper_arm(self) -> float:
        """Shoulder to elbow joint, mm."""
        return self.humerus + 2 * self.epiphysis

    @property
    def forearm(self) -> float:
        """Elbow to wrist joint, mm."""
        return self.ulna + 2 * self.epiphysis

    @property
    def head_to_neck(self) -> float:
        """Centre of the cranium to the spinal column at C7-T1: the lower half of the skull and the neck below it."""
        return 0.60 * self.ofd

    @property
    def trunk_width(self) -> float:
        """Diameter (mm) of the circle with the abdominal circumference."""
        return self.ac / np.pi

    @property
    def trunk(self) -> float:
        """Length (mm) of the spinal column from C7-T1 to the sacrum.

        The crown-rump length less the upper half of the skull, the neck seen at the usual 30 degrees of flexion, and
        the rump below the sacrum, along a column whose curve is 3 % longer than its chord.
        """
        return 1.03 * (self.crl - 0.45 * self.ofd - np.cos(np.radians(30)) * self.head_to_neck - 0.08 * self.crl)


def chart_mean_sd(name: str, weeks: float) -> tuple[float, float]:
    """Median and standard deviation (mm) of ``name`` (a key of `CHARTS`) at ``weeks`` of gestation."""
    medians, relative_sd = CHARTS[name]
    mean = float(np.interp(weeks, WEEKS, medians))
    return mean, relative_sd * mean


def draw_biometry(rng: np.random.Generator, *, weeks: float | None = None, size_z: float | None = None) -> Biometry:
    """Draw a body.

    Parameters
    ----------
    weeks : gestational age, 10 to 14; uniform if None.
    size_z : z-score of the size that all measures share; standard normal, clipped to -2..2, if None.
    """
    weeks = float(rng.uniform(10.0, 14.0)) if weeks is None else weeks
    size_z = float(np.clip(rng.normal(), -2, 2)) if size_z is None else size_z

    def z() -> float:
        own = np.clip(rng.normal(), -2, 2)
        return SHARED_SIZE**0.5 * size_z + (1 - SHARED_SIZE) ** 0.5 * own

    mean, sd = crl_mean_sd(weeks * 7)
    measures = {"crl": mean + sd * z()}
    for name in CHARTS:
        mean, sd = chart_mean_sd(name, weeks)
        measures[name] = mean + sd * z()
    return Biometry(
        weeks=weeks,
        tibia=TIBIA_TO_FEMUR * measures["femur"] * (1 + 0.03 * z()),
        ulna=ULNA_TO_HUMERUS * measures["humerus"] * (1 + 0.03 * z()),
        **measures,
    )
