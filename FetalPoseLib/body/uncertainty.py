"""How far off a landmark and a length may be, in mm: a radius and an interval that hold the truth in 90 % of cases.

Split conformal prediction, normalised and Mondrian, as the library *crepes* has it: the errors of a model on subjects
that it did not learn from are divided by their *difficulty*, which a monotone function of the confidences predicts, and
within each group of landmarks the quantile of these ratios is taken. A radius is quantile times difficulty. The
guarantee needs no model of the errors, only volumes like those of the calibration. The landmarks of one fetus are not
independent, so the share holds on average over fetuses, not within each of them.

References
----------
H. Boström, "crepes: a Python package for generating conformal regressors and predictive systems", COPA 2022.
J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive inference for regression",
JASA 113, 2018: split conformal, residuals divided by a local scale (section 5.2).
Y. Romano, E. Patterson, E. Candès, "Conformalized quantile regression", NeurIPS 2019.
V. Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74, 2015.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from FetalPoseLib.body.conformal import conformal_quantile, not_increasing, pinball_loss
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.plausibility import crown_rump_length
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path

COVERAGE = 0.9  # share of cases in which a radius or an interval holds the truth
GROUPS = ("head and trunk", "shoulders and hips", "elbows and knees", "wrists and ankles")
LEAST_SUBJECTS = 20  # of a calibration; a group of four landmarks then has 80 errors
FOLDS = 5  # of subjects: the difficulty of each is predicted from the others
LEAST_BLOCK = 16  # errors that a value of the difficulty is the mean of: as many as a fetus has
LANDMARK_SHARES = (0.25, 0.5, 0.75, 1.0)  # of its own confidence in a landmark's score; the rest is the pose's mean
SIZE_POWERS = (0.0, 0.5, 1.0)  # errors grow with size to this power


@dataclass(frozen=True)
class Uncertainty:
    """A calibration of one model with one refinement.

    Attributes
    ----------
    coverage : float
        Share of cases in which the truth is within.
    refinement : str
        As a pose's provenance tells it; the calibration is of this refinement alone.
    subjects : int
        How many it was made with.
    landmark_share, size_power, reference_mm : float
        A landmark's score is ``share * confidence + (1 - share) * mean confidence of the pose``; its difficulty is that
        of the score times ``(size / reference) ** power``.
    scores, difficulties : tuple of float
        Increasing scores and the difficulties there, which do not increase. In between the logarithm is linear. The
        first score is 0: below the scores of the calibration the difficulty goes on with the mean slope.
    landmark_quantiles, segment_quantiles : tuple of float
        One for each of `GROUPS`: of error over difficulty, and of a length's error over its ends' radii in quadrature.
    """

    coverage: float
    refinement: str
    subjects: int
    landmark_share: float
    size_power: float
    reference_mm: float
    scores: tuple[float, ...]
    difficulties: tuple[float, ...]
    landmark_quantiles: tuple[float, ...]
    segment_quantiles: tuple[float, ...]

    @classmethod
    def fit(
        cls, errors_mm, confidence, size_mm, *, length_errors_mm, coverage: float = COVERAGE, refinement: str = ""
    ) -> Uncertainty:
        """Calibrate on subjects that the model did not learn from.

        Parameters
        ----------
        errors_mm, confidence : (N, 16) distances to the truth in mm, NaN where not visible; and confidence in 0..1
        size_mm : (N,) `crown_rump_length` of the poses found, NaN where the trunk is not visible
        length_errors_mm : (N, 15) length found - true length in mm, NaN where an end is not visible

        Raises
        ------
        FetalPoseError
            There are less than `LEAST_SUBJECTS` subjects, or a group of landmarks has too few errors.

        Notes
        -----
        ``landmark_share`` and ``size_power`` are those with the least pinball loss of the radii, each subject's
        difficulty predicted from the other folds.
        """
        errors, confidence, size = (np.asarray(a, dtype=np.float64) for a in (errors_mm, confidence, size_mm))
        if len(errors) < LEAST_SUBJECTS:
            raise FetalPoseError(f"A calibration needs {LEAST_SUBJECTS} subjects, not {len(errors)}. Measure more.")
        reference = float(np.median(size[np.isfinite(size)])) if np.isfinite(size).any() else 1.0
        best, least, seen = None, np.inf, np.isfinite(errors)
        for share, power in product(LANDMARK_SHARES, SIZE_POWERS):
            scores, scaled = _scores(confidence, share), errors / _scale(size, reference, power)
            predicted = _out_of_fold(scores, scaled) * _scale(size, reference, power)
            quantiles = _group_quantiles(errors / predicted, landmark_groups(), coverage)
            radii = predicted * quantiles[landmark_groups()]
            loss = pinball_loss(errors[seen], radii[seen], coverage)
            if loss < least:
                best, least = (share, power, _difficulty(scores, scaled), quantiles, radii), loss
        assert best is not None, "a loss is finite where every group has errors"
        share, power, (knots, values), quantiles, radii = best
        ratios = np.abs(np.asarray(length_errors_mm, dtype=np.float64)) / _ends(radii)
        segment_quantiles = _group_quantiles(ratios, segment_groups(), coverage)
        return cls(
            coverage=coverage, refinement=refinement, subjects=len(errors), landmark_share=share, size_power=power,
            reference_mm=_short(reference), scores=_shorts(knots), difficulties=_shorts(values),
            landmark_quantiles=_shorts(quantiles), segment_quantiles=_shorts(segment_quantiles),
        )  # fmt: skip

    def radius_mm(self, points, confidence, *, placed: Collection[int] = ()) -> np.ndarray:
        """Radius (16,) in mm about each landmark: NaN where not visible, 0 where a person placed it.

        Parameters
        ----------
        points : (16, 3) mm, NaN where not visible
        confidence : (16,) in 0..1, as the estimator gave it
        placed : indices of the landmarks that a person placed
        """
        points, confidence = np.asarray(points, dtype=np.float64), np.asarray(confidence, dtype=np.float64)
        free = [i for i in range(len(confidence)) if i not in placed]
        pose = confidence[free].mean() if free else 1.0  # the confidence in placed landmarks is not the network's
        score = self.landmark_share * confidence + (1 - self.landmark_share) * pose
        difficulty = _difficulty_at(score, np.array(self.scores), np.array(self.difficulties))
        scale = _scale(np.array([crown_rump_length(points)]), self.reference_mm, self.size_power)[0]
        radius = np.array(self.landmark_quantiles)[landmark_groups()] * difficulty * scale
        radius[list(placed)] = 0.0
        return np.where(np.isfinite(points).all(axis=1), radius, np.nan)

    def length_interval_mm(self, points, confidence, *, placed: Collection[int] = ()) -> np.ndarray:
        """Least and largest length (15, 2) in mm of each segment, NaN where an end is not visible; as `radius_mm`."""
        half = _ends(self.radius_mm(points, confidence, placed=placed)[None])[0]
        half *= np.array(self.segment_quantiles)[segment_groups()]
        lengths = segment_lengths(points)
        return np.stack([np.maximum(lengths - half, 0.0), lengths + half], axis=1)

    def radii_and_intervals(
        self, points, confidence, placed: Mapping[int, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """`radius_mm` and `length_interval_mm` of a pose; a placed landmark is where the person placed it."""
        points = np.array(points, dtype=np.float64)
        for landmark, point in placed.items():
            points[landmark] = point
        radius = self.radius_mm(points, confidence, placed=placed.keys())
        return radius, self.length_interval_mm(points, confidence, placed=placed.keys())

    @classmethod
    def of_model(cls, metadata: dict) -> Uncertainty | None:
        """The calibration that a model's metadata holds under "uncertainty", None if there is none.

        It is that of `to_dict`, or the name of a JSON file with it beside the bundled models. FetalPoseError if it is
        damaged or missing.
        """
        values = metadata.get("uncertainty")
        if isinstance(values, str):
            path = resource_path("models", Path(values).name)
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise FetalPoseError(f"Cannot read the model's uncertainty {path}: {error}.") from error
        return None if values is None else cls.from_dict(values)

    def to_dict(self) -> dict:
        """As JSON holds it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> Uncertainty:
        """What `to_dict` wrote; keys that are not its own are passed over.

        Raises
        ------
        FetalPoseError
            A value is missing or impossible.
        """
        try:
            read = {key: _READ[hint](values[key]) for key, hint in cls.__annotations__.items()}
            found = cls(**read)
            found._check()
        except (KeyError, TypeError, ValueError) as error:
            raise FetalPoseError(f"The model's uncertainty is not usable: {error!r}. Calibrate it again.") from error
        return found

    def _check(self) -> None:
        numbers = [*self.scores, *self.difficulties, *self.landmark_quantiles, *self.segment_quantiles]
        if not np.isfinite([*numbers, self.size_power, self.landmark_share]).all() or min(numbers) < 0:
            raise ValueError("a number is negative or not finite")
        if min(self.difficulties, default=0) <= 0:
            raise ValueError("there is no difficulty, or one is not positive")
        if not (0 < self.coverage < 1 and 0 <= self.landmark_share <= 1 and 0 < self.reference_mm < np.inf):
            raise ValueError("coverage, landmark_share or reference_mm is out of range")
        if len(self.scores) != len(self.difficulties):
            raise ValueError("scores and difficulties are of different numbers")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.difficulties) > 0).any():
            raise ValueError("scores do not increase, or difficulties do")
        if len(self.landmark_quantiles) != len(GROUPS) or len(self.segment_quantiles) != len(GROUPS):
            raise ValueError(f"there are {len(GROUPS)} groups")


#: By the annotation of a field, how it is read from JSON.
_READ: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "str": str,
    "tuple[float, ...]": lambda value: tuple(float(x) for x in value),
}


def landmark_groups(skeleton: Skeleton | None = None) -> np.ndarray:
    """Index in `GROUPS` of each landmark, (16,): how far out on its limb it is, 0 on none."""
    skeleton = skeleton or load_skeleton()
    groups = np.zeros(len(skeleton), dtype=int)
    for chain in skeleton.limbs.values():
        for place, landmark in enumerate(chain, start=1):
            groups[landmark] = place
    return groups


def segment_groups(skeleton: Skeleton | None = None) -> np.ndarray:
    """Index in `GROUPS` of each segment, (15,): that of its outer end."""
    skeleton = skeleton or load_skeleton()
    groups = landmark_groups(skeleton)
    return np.array([max(groups[segment.start], groups[segment.end]) for segment in skeleton.segments])


def _ends(radii: np.ndarray) -> np.ndarray:
    """Radii (N, 16) of the two ends of each segment, in quadrature: (N, 15)."""
    segments = load_skeleton().segments
    return np.hypot(radii[:, [s.start for s in segments]], radii[:, [s.end for s in segments]])


def _scores(confidence: np.ndarray, share: float) -> np.ndarray:
    return share * confidence + (1 - share) * confidence.mean(axis=1, keepdims=True)


def _scale(size_mm: np.ndarray, reference_mm: float, power: float) -> np.ndarray:
    """(N, 1); 1 where the size is not known."""
    return (np.where(np.isfinite(size_mm), size_mm, reference_mm) / reference_mm)[:, None] ** power


def _out_of_fold(scores: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Difficulty (N, 16), each subject's from the subjects of the other folds."""
    fold, predicted = np.arange(len(scores)) % FOLDS, np.empty_like(scores)
    for k in range(FOLDS):
        known = _difficulty(scores[fold != k], scaled[fold != k])
        predicted[fold == k] = _difficulty_at(scores[fold == k], *known)
    return predicted


def _difficulty(scores: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores, increasing, and the mean error there in medians of the landmark's group, made not to increase."""
    groups, relative = landmark_groups(), scaled.copy()
    for group in range(len(GROUPS)):
        own = relative[:, groups == group]
        if not np.isfinite(own).any():
            raise FetalPoseError(f"No subject shows {GROUPS[group]}: a calibration needs errors of all groups.")
        relative[:, groups == group] = own / max(np.median(own[np.isfinite(own)]), 1e-6)
    seen = np.isfinite(relative)
    order = np.argsort(scores[seen], kind="stable")
    blocks = np.array_split(order, max(len(order) // LEAST_BLOCK, 1))
    knots = np.array([scores[seen][block].mean() for block in blocks])
    means = np.array([relative[seen][block].mean() for block in blocks])
    knots, means = not_increasing(knots, np.maximum(means, 1e-6), np.array([len(block) for block in blocks]))
    if knots[0] <= 0:
        return knots, means
    # a confidence as low as none in the calibration must not pass for the lowest of them
    slope = np.log(means[0] / means[-1]) / (knots[-1] - knots[0]) if len(knots) > 1 else 0.0
    return np.append(0.0, knots), np.append(means[0] * np.exp(slope * knots[0]), means)


def _difficulty_at(score: np.ndarray, scores: np.ndarray, difficulties: np.ndarray) -> np.ndarray:
    return np.exp(np.interp(score, scores, np.log(difficulties)))


def _group_quantiles(ratios: np.ndarray, groups: np.ndarray, coverage: float) -> np.ndarray:
    """The conformal quantile of the ratios (N, L) of each of the `GROUPS`."""
    quantiles = np.empty(len(GROUPS))
    for group, name in enumerate(GROUPS):
        own = ratios[:, groups == group]
        own = own[np.isfinite(own)]
        quantiles[group] = conformal_quantile(own, coverage)
        if not np.isfinite(quantiles[group]):
            raise FetalPoseError(f"{len(own)} errors of {name} are too few for a calibration. Measure more subjects.")
    return quantiles


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _shorts(values: np.ndarray) -> tuple[float, ...]:
    return tuple(_short(value) for value in values)
