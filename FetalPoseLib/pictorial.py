"""Choosing among heatmap peaks jointly: the skeleton as a pictorial structure.

A network marks every landmark for itself, and where it hesitates, between two hands or a wrist and the cord, the
right place is often its second choice. A pictorial structure (Felzenszwalb and Huttenlocher, Int. J. Comput. Vis. 61,
2005) weighs all choices at once: each candidate costs what its peak lacks in height, each segment what its length
lacks in likelihood, and on a tree the cheapest combination is found exactly by dynamic programming. What is a likely
length, the pose library says: the log of each segment's share of the body's size is taken as normal. The size is
unknown and the same for all segments, so it is chosen along with the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.fetal_frame import FetalFrame
from FetalPoseLib.geometry import Grid
from FetalPoseLib.heatmap import peaks
from FetalPoseLib.pose_library import PoseLibrary
from FetalPoseLib.skeleton import Skeleton, load_skeleton

CANDIDATES = 6  # peaks a landmark
CANDIDATE_DISTANCE = 2.0  # voxels between them
SEPARATION = 4.0  # voxels from which another peak makes the choice less certain, as in `heatmap.decode`
EVIDENCE = 5.0  # how many e-folds of a length's likelihood an e-fold of a peak's height outweighs
LEAST_SD = 0.2  # of the log of a length: a few hundred atlases are not all bodies, and peaks are not exact
MOST_COST = 12.5  # of a length: five SD and more are all impossible alike
SIZES = np.geomspace(8.0, 50.0, 24)  # mm: body units from the smallest fetus of 10 weeks to the largest of 14, and more


@dataclass(frozen=True, eq=False)
class LengthPrior:
    """Normal distribution of the log of each segment's length over the body's size: ``mean`` and ``sd``, (15,)."""

    skeleton: Skeleton
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, library: PoseLibrary) -> LengthPrior:
        """The prior that a library's atlases give; its SD is `LEAST_SD` at the least. FetalPoseError if it has none."""
        if not len(library):
            raise FetalPoseError("The pose library is empty: add at least one atlas, or ask for no refinement.")
        segments = library.skeleton.segments
        sizes = np.array([FetalFrame.from_landmarks(pose, library.skeleton).size for pose in library.poses])
        ends = np.array([[segment.start, segment.end] for segment in segments])
        lengths = np.linalg.norm(library.poses[:, ends[:, 0]] - library.poses[:, ends[:, 1]], axis=2)
        logs = np.log(lengths / sizes[:, None])
        return cls(library.skeleton, logs.mean(axis=0), np.maximum(logs.std(axis=0), LEAST_SD))

    def cost(self, segment: int, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Negative log-likelihood, less its constant, of lengths (...) mm in bodies of sizes (S,) mm: (S, ...)."""
        sizes = sizes.reshape(-1, *[1] * np.ndim(lengths))
        z = (np.log(np.maximum(lengths, 0.1) / sizes) - self.mean[segment]) / self.sd[segment]
        return np.minimum(z**2 / 2, MOST_COST)


def choose(candidates: Sequence[tuple[np.ndarray, np.ndarray]], prior: LengthPrior) -> list[int]:
    """The candidate of each landmark in the cheapest combination, as an index; -1 for a landmark without candidates.

    Parameters
    ----------
    candidates : for each landmark, points (P, 3) mm and heights of their peaks (P,), P any number, highest first.
    """
    skeleton = prior.skeleton
    segment_between = {frozenset((s.start, s.end)): i for i, s in enumerate(skeleton.segments)}
    edges = [edge for level in skeleton.levels() for edge in level]
    # cost[landmark]: (sizes, candidates), of the landmark and all that hangs on it
    cost = {i: np.tile(-EVIDENCE * np.log(np.maximum(h, 1e-3)), (len(SIZES), 1)) for i, (_, h) in enumerate(candidates)}
    best = {}
    for landmark, parent in reversed(edges[1:]):
        if not len(candidates[landmark][0]) or not len(candidates[parent][0]):
            continue  # what hangs on an unseen landmark is chosen for itself
        apart = np.linalg.norm(candidates[parent][0][:, None] - candidates[landmark][0], axis=2)
        both = prior.cost(segment_between[frozenset((landmark, parent))], apart, SIZES) + cost[landmark][:, None]
        best[landmark] = both.argmin(axis=2)
        cost[parent] = cost[parent] + both.min(axis=2)
    return _read_back(edges, candidates, cost, best)


def _read_back(edges, candidates, cost, best) -> list[int]:
    """From the root to the ends: each landmark's candidate, given its parent's and the size of the body."""
    chosen, size = [-1] * len(candidates), {}
    for landmark, parent in edges:
        if not len(candidates[landmark][0]):
            continue
        if landmark in best:
            size[landmark] = size[parent]
            chosen[landmark] = int(best[landmark][size[parent], chosen[parent]])
        else:  # the root of a tree
            size[landmark], chosen[landmark] = np.unravel_index(cost[landmark].argmin(), cost[landmark].shape)
    return [int(choice) for choice in chosen]


def read_pose(
    heatmaps, grid: Grid, prior: LengthPrior | None, *, fixed: Mapping[int, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest pose in the heatmaps (16, nz, ny, nx) on `grid`, and its confidence.

    Parameters
    ----------
    prior : without one, the highest peak of each map is taken.
    fixed : landmark (0-based) to (3,) RAS mm: the only candidate that it then has, and none of its partner's.

    Returns
    -------
    points : (16, 3) RAS mm, NaN where a map has no positive value
    confidence : (16,) in 0..1, as of `heatmap.decode`, but for the peak that was chosen; 1 for fixed points
    """
    found = _candidates(heatmaps, grid, load_skeleton().mirror, dict(fixed or {}))
    points, confidence = np.full((len(found), 3), np.nan), np.zeros(len(found))
    highest = [0 if len(heights) else -1 for _, heights in found]
    for landmark, choice in enumerate(highest if prior is None else choose(found, prior)):
        if choice >= 0:
            places, heights = found[landmark]
            points[landmark], height = places[choice], heights[choice]
            elsewhere = np.linalg.norm(places - places[choice], axis=1) >= SEPARATION * grid.spacing.max()
            confidence[landmark] = min(height, 1.0) * height / (height + heights[elsewhere].max(initial=0.0))
    return points, confidence


def _candidates(heatmaps, grid: Grid, partner: np.ndarray, fixed: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for landmark, heatmap in enumerate(heatmaps):
        if landmark in fixed:
            found.append((np.asarray(fixed[landmark], dtype=np.float64)[None], np.ones(1)))
            continue
        voxels, heights = peaks(heatmap, CANDIDATES, CANDIDATE_DISTANCE)
        if partner[landmark] in fixed:
            taken = grid.to_voxel(fixed[partner[landmark]])
            free = np.linalg.norm(voxels - taken, axis=1) > CANDIDATE_DISTANCE
            voxels, heights = (voxels[free], heights[free]) if free.any() else (voxels, heights)
        found.append((grid.to_world(voxels), heights))
    return found
