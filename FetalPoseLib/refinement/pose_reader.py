"""Choosing among heatmap peaks jointly: the skeleton as a pictorial structure.

A network computes each heatmap without regard to the others. Where two places are possible for a landmark, as with two
hands, or a wrist and the cord, the right one is often the second peak. A pictorial structure (Felzenszwalb and
Huttenlocher, Int. J. Comput. Vis. 61, 2005) compares all combinations of peaks. A candidate costs more the lower its
peak is. A segment costs more the less likely its length is. The pose library gives the likelihood: the log of each
segment's share of the body's size is taken as normal. The size is unknown and the same for all segments, so it is
chosen together with the candidates.

The two landmarks of a symmetric pair are chosen together, because they cannot be in one place. A skeleton of single
landmarks and of pairs is a tree, too, so the cheapest combination is found exactly, by dynamic programming (`choose`).

Lengths tell neither left from right nor which elbow belongs to which shoulder. So the library's atlases are registered
to the chosen pose, as in the paper's section 2.2, and each candidate then costs its distance from them, too. Choosing
and registering are repeated until nothing changes (`PoseReader`). A network that is shown the whole volume marks both
hands in the maps of both. Then the peaks of a pair are put together, and all four assignments of the arms and of the
legs are compared. Atlases cannot be mirrored, so the right assignment is the cheapest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.network.heatmaps import peaks
from FetalPoseLib.refinement.length_prior import LengthPrior
from FetalPoseLib.refinement.tree_choice import Candidates, choose, points_at
from FetalPoseLib.volume.grid import Grid

CANDIDATES = 6  # peaks per landmark
LEAST_SHARE = 0.4  # of a map's highest peak, from which another is a candidate
CANDIDATE_DISTANCE = 2.0  # voxels between them, and between the two of a pair
SEPARATION = 4.0  # voxels from which another peak makes the choice less certain, as in `heatmap.decode`
ATLAS_SD = 4.0  # mm, by which an atlas errs at the least
MOST_DISTANCE_COST = 12.0  # of a candidate's distance from the atlases
ROUNDS = 3  # of registering and choosing


class PoseReader:
    """Reads poses from heatmaps by what a library knows of bodies.

    Parameters
    ----------
    library : its atlases give the lengths and guide the choice; without one, the highest peak of each map is taken.
        FetalPoseError if it is empty.
    sided : whether the maps tell left from right; if not, the library does.

    Example
    -------
    >>> points, confidence = PoseReader(library).read(heatmaps, grid)
    """

    def __init__(self, library: PoseLibrary | None, *, sided: bool = True):
        self.sided = sided
        self._choice = None if library is None else _GuidedChoice(library, sided)

    def read(
        self, heatmaps, grid: Grid, placed: Mapping[int, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest pose in the heatmaps (16, nz, ny, nx) on `grid`, and its confidence.

        Parameters
        ----------
        placed : landmark (0-based) to (3,) RAS mm: the only candidate that it then has.

        Returns
        -------
        points : (16, 3) RAS mm, NaN where a map has no positive value
        confidence : (16,) in 0..1, as of `heatmap.decode`, but for the peak that was chosen; 1 for placed points
        """
        placed, apart = dict(placed or {}), CANDIDATE_DISTANCE * grid.spacing.max()
        found = _candidates(heatmaps, grid, placed)
        if self._choice is None:
            chosen = [0 if len(heights) else -1 for _, heights in found]
        else:
            found = found if self.sided else _merged(found, self._choice.library.skeleton, placed, apart)
            chosen = self._choice.choose([_likely(candidates) for candidates in found], apart)
        points = _pose(found, chosen)
        partners = np.full_like(points, np.nan) if self.sided else points[load_skeleton().mirror]
        return points, _confidence(found, chosen, points, partners, SEPARATION * grid.spacing.max())


class _GuidedChoice:
    """The choice among candidates by the lengths and the atlases of a library."""

    def __init__(self, library: PoseLibrary, sided: bool):
        self.library, self.sided, self.prior = library, sided, LengthPrior.of(library)

    def choose(self, found: list[Candidates], apart: float) -> list[int]:
        """The cheapest choice over all readings of the sides, guided by the atlases where they can be registered."""
        alone, _ = choose(found, self.prior, apart=apart, shared=self.sided)
        pose, readings = _pose(found, alone), self._sides()
        guided = [choice for names in readings if (choice := self._guided(found, pose[names], apart)) is not None]
        return min(guided, key=lambda choice: choice[1])[0] if guided else alone

    def _sides(self) -> list[np.ndarray]:
        """Permutations (16,) of the landmarks: as they are; in maps without sides, with limbs exchanged, too."""
        exchanged = self.library.skeleton.exchanged_limbs()
        return exchanged[:1] if self.sided else exchanged

    def _guided(self, found: list[Candidates], pose: np.ndarray, apart: float) -> tuple[list[int], float] | None:
        """Registering and choosing in turn, from a pose (16, 3); None where too few are visible to register."""
        chosen = None
        for _ in range(ROUNDS):
            if not self.library.can_register(pose):
                return chosen
            aligned, _ = self.library.support_set(pose, similarity=True)
            mean, variance = aligned.mean(axis=0), aligned.var(axis=0).mean(axis=1) + ATLAS_SD**2
            distances = [((points - m) ** 2).sum(axis=1) for (points, _), m in zip(found, mean, strict=True)]
            extra = [np.minimum(d / (2 * v), MOST_DISTANCE_COST) for d, v in zip(distances, variance, strict=True)]
            before, chosen = chosen, choose(found, self.prior, apart=apart, extra=extra, shared=self.sided)
            if before is not None and before[0] == chosen[0]:
                break
            pose = _pose(found, chosen[0])
        return chosen


def _candidates(heatmaps, grid: Grid, placed: dict) -> list[Candidates]:
    found = []
    for landmark, heatmap in enumerate(heatmaps):
        if landmark in placed:
            found.append((np.asarray(placed[landmark], dtype=np.float64)[None], np.ones(1)))
        else:
            voxels, heights = peaks(heatmap, CANDIDATES, CANDIDATE_DISTANCE)
            found.append((grid.to_world(voxels), heights))
    return found


def _likely(candidates: Candidates) -> Candidates:
    """Without the peaks that are low beside the highest; what is left keeps its index."""
    points, heights = candidates
    count = np.count_nonzero(heights >= LEAST_SHARE * heights.max(initial=0.0))
    return points[:count], heights[:count]


def _merged(found: list[Candidates], skeleton: Skeleton, placed: dict, apart: float) -> list[Candidates]:
    """The candidates with those of the two of each pair put together: the highest that lie ``apart`` mm apart.

    A placed point is no candidate of its partner, and neither is what lies as near to it.
    """
    merged = list(found)
    for pair in skeleton.symmetric_pairs:
        free, by_person = ([found[i] for i in pair if (i in placed) is there] for there in (False, True))
        if not free:
            continue
        points, heights = (np.concatenate(both) for both in zip(*free, strict=True))
        taken = np.concatenate([np.empty((0, 3)), *(points for points, _ in by_person)])
        kept: list[int] = []
        for i in np.argsort(-heights, kind="stable"):
            if (np.linalg.norm(np.concatenate([taken, points[kept]]) - points[i], axis=1) > apart).all():
                kept.append(i)
        for landmark in pair:
            if landmark not in placed:
                merged[landmark] = points[kept[:CANDIDATES]], heights[kept[:CANDIDATES]]
    return merged


def _pose(found: list[Candidates], chosen: list[int]) -> np.ndarray:
    """The points (16, 3) mm that were chosen, NaN where none was."""
    return np.array([points_at(found, landmark, np.array([c]))[0] for landmark, c in enumerate(chosen)])


def _confidence(found, chosen, points, partners, separation: float) -> np.ndarray:
    """Of each chosen peak, by `heatmap.decode`'s rule: a peak elsewhere lowers it, unless it is at ``partners``
    (16, 3), where in maps without sides the other of the pair is."""
    confidence = np.zeros(len(found))
    for landmark, choice in enumerate(chosen):
        if choice >= 0:
            places, heights = found[landmark]
            height = heights[choice]
            elsewhere = np.linalg.norm(places - points[landmark], axis=1) >= separation
            other = np.linalg.norm(places - partners[landmark], axis=1) < separation
            rival = heights[elsewhere & ~other].max(initial=0.0)
            confidence[landmark] = min(height, 1.0) * height / (height + rival)
    return confidence
