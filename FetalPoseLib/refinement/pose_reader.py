"""Choosing among heatmap peaks jointly: the skeleton as a pictorial structure.

A network marks every landmark for itself, and where it hesitates, between two hands or a wrist and the cord, the
right place is often its second choice. A pictorial structure (Felzenszwalb and Huttenlocher, Int. J. Comput. Vis. 61,
2005) weighs all choices at once: each candidate costs what its peak lacks in height, each segment what its length
lacks in likelihood. What is a likely length, the pose library says: the log of each segment's share of the body's size
is taken as normal. The size is unknown and the same for all segments, so it is chosen along with the candidates.

The two of a symmetric pair are chosen together, because they are not in one place. A skeleton of single landmarks and
of pairs is a tree, too, on which the cheapest combination is found exactly, by dynamic programming (`choose`).

Lengths alone tell neither left from right nor which elbow goes with which shoulder. So the library's atlases are
registered to what was chosen, as in the paper's section 2.2, and the choice is made again with each candidate costing
its distance from them, until nothing changes (`PoseReader`). A network that looks at the whole volume marks both hands
in the maps of either: then the peaks of a pair are put together, and this is done for both assignments of the arms and
of the legs. Atlases cannot be mirrored, so one of the four comes out cheapest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.detection import locate as locator
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import peaks
from FetalPoseLib.volume.grid import Grid

CANDIDATES = 6  # peaks a landmark
LEAST_SHARE = 0.4  # of a map's highest peak, from which another is a candidate
CANDIDATE_DISTANCE = 2.0  # voxels between them, and between the two of a pair
SEPARATION = 4.0  # voxels from which another peak makes the choice less certain, as in `heatmap.decode`
EVIDENCE = 5.0  # how many e-folds of a length's likelihood an e-fold of a peak's height outweighs
LEAST_SD = 0.2  # of the log of a length: a few hundred atlases are not all bodies, and peaks are not exact
MOST_COST = 12.5  # of a length: five SD and more are all impossible alike
ATLASES = 10  # that guide the choice, K of Eq. 1
ATLAS_SD = 4.0  # mm, by which an atlas errs at the least
MOST_DISTANCE_COST = 12.0  # of a candidate's distance from the atlases
ROUNDS = 3  # of registering and choosing
SIZES = np.geomspace(*locator.SIZES, 24)  # mm: the body units that are tried

Candidates = tuple[np.ndarray, np.ndarray]  # points (P, 3) mm and the heights (P,) of their peaks, highest first


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
        logs = np.log(np.maximum(lengths, 0.1) / sizes[:, None])
        return cls(library.skeleton, logs.mean(axis=0), np.maximum(logs.std(axis=0), LEAST_SD))

    def cost(self, segment: int, lengths: np.ndarray) -> np.ndarray:
        """Negative log-likelihood, less its constant, of lengths (...) mm in bodies of `SIZES`: (24, ...).

        A length of NaN, to a landmark that is not seen, costs nothing.
        """
        sizes = SIZES.reshape(-1, *[1] * np.ndim(lengths))
        z = (np.log(np.maximum(lengths, 0.1) / sizes) - self.mean[segment]) / self.sd[segment]
        return np.nan_to_num(np.minimum(z**2 / 2, MOST_COST))


@dataclass(frozen=True, eq=False)
class _Node:
    """A landmark or a symmetric pair: its ``landmarks``, and the states (S, 1 or 2) it may be in, as candidates."""

    landmarks: tuple[int, ...]
    states: np.ndarray
    cost: np.ndarray


def choose(
    candidates: Sequence[Candidates], prior: LengthPrior, *, apart: float = 0.0,
    extra: Sequence[np.ndarray] | None = None, shared: bool = True,
) -> tuple[list[int], float]:  # fmt: skip
    """The cheapest combination: the candidate of each landmark, as an index, and what it costs in all.

    Parameters
    ----------
    candidates : of each landmark, any number; the index of a landmark without candidates is -1, at no cost.
    apart : mm, at which symmetric landmarks lie from each other at the least, where their candidates allow it.
    extra : of each landmark, a further cost (P,) of its candidates.
    shared : where all candidates of a pair lie nearer: whether both may be there, or one of the two is not seen.
    """
    nodes = _nodes(candidates, prior.skeleton, apart, extra, shared)
    edges = _edges(nodes, prior.skeleton)
    cost = [np.tile(node.cost, (len(SIZES), 1)) for node in nodes]
    best = {}
    for child, parent in reversed(edges[1:]):
        both = cost[child][:, None] + _between(nodes[parent], nodes[child], candidates, prior)
        best[child] = both.argmin(axis=2)
        cost[parent] = cost[parent] + both.min(axis=2)
    chosen, state = [-1] * len(candidates), {}
    root = edges[0][0]
    size, state[root] = np.unravel_index(cost[root].argmin(), cost[root].shape)
    for node, parent in edges:
        if parent is not None:
            state[node] = best[node][size, state[parent]]
        for landmark, choice in zip(nodes[node].landmarks, nodes[node].states[state[node]], strict=True):
            chosen[landmark] = int(choice)
    return chosen, float(cost[root].min())


def _nodes(candidates: Sequence[Candidates], skeleton: Skeleton, apart: float, extra, shared: bool) -> list[_Node]:
    own = [-EVIDENCE * np.log(np.maximum(heights, 1e-3)) for _, heights in candidates]
    own = own if extra is None else [cost + more for cost, more in zip(own, extra, strict=True)]
    numbers = [np.arange(len(cost)) if len(cost) else np.array([-1]) for cost in own]
    cost = [np.append(c, 0.0) for c in own]  # the last, -1, is "not seen"
    nodes = []
    for pair in skeleton.symmetric_pairs:
        first, second = pair
        states = np.stack(np.meshgrid(numbers[first], numbers[second], indexing="ij"), axis=-1).reshape(-1, 2)
        between = np.linalg.norm(_at(candidates, first, states[:, 0]) - _at(candidates, second, states[:, 1]), axis=1)
        free = ~(between < apart)
        if free.any():
            states = states[free]
        elif not shared:
            states = np.concatenate([states * [1, 0] - [0, 1], states * [0, 1] - [1, 0]])
        nodes.append(_Node(pair, states, cost[first][states[:, 0]] + cost[second][states[:, 1]]))
    for landmark in range(len(candidates)):
        if skeleton.mirror[landmark] == landmark:
            nodes.append(_Node((landmark,), numbers[landmark][:, None], cost[landmark][numbers[landmark]]))
    return nodes


def _edges(nodes: list[_Node], skeleton: Skeleton) -> list[tuple[int, int | None]]:
    """The nodes as a tree, from its root outwards: (node, its parent)."""
    node_of = {landmark: i for i, node in enumerate(nodes) for landmark in node.landmarks}
    edges = [edge for level in skeleton.levels() for edge in level]
    nodes_and_parents = [(node_of[child], None if parent is None else node_of[parent]) for child, parent in edges]
    return list(dict.fromkeys(nodes_and_parents))


def _at(candidates: Sequence[Candidates], landmark: int, choices: np.ndarray) -> np.ndarray:
    """Points (S, 3) of choices (S,) of a landmark, NaN where it is not seen."""
    return np.vstack([candidates[landmark][0].reshape(-1, 3), np.full(3, np.nan)])[choices]


def _between(parent: _Node, child: _Node, candidates: Sequence[Candidates], prior: LengthPrior) -> np.ndarray:
    """Cost (24, parent's states, child's states) of the segments that join two nodes."""
    total = 0.0
    for i, segment in enumerate(prior.skeleton.segments):
        for start, end in ((segment.start, segment.end), (segment.end, segment.start)):
            if start in parent.landmarks and end in child.landmarks:
                here = _at(candidates, start, parent.states[:, parent.landmarks.index(start)])
                there = _at(candidates, end, child.states[:, child.landmarks.index(end)])
                total = total + prior.cost(i, np.linalg.norm(here[:, None] - there, axis=2))
    return total


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
        self.library, self.sided = library, sided
        self.prior = None if library is None else LengthPrior.of(library)

    def read(
        self, heatmaps, grid: Grid, fixed: Mapping[int, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest pose in the heatmaps (16, nz, ny, nx) on `grid`, and its confidence.

        Parameters
        ----------
        fixed : landmark (0-based) to (3,) RAS mm: the only candidate that it then has.

        Returns
        -------
        points : (16, 3) RAS mm, NaN where a map has no positive value
        confidence : (16,) in 0..1, as of `heatmap.decode`, but for the peak that was chosen; 1 for fixed points
        """
        fixed, apart = dict(fixed or {}), CANDIDATE_DISTANCE * grid.spacing.max()
        found = _candidates(heatmaps, grid, fixed)
        if self.library is None:
            chosen = [0 if len(heights) else -1 for _, heights in found]
        else:
            found = found if self.sided else _merged(found, self.library.skeleton, fixed, apart)
            chosen = self._choose([_likely(candidates) for candidates in found], apart)
        points = _pose(found, chosen)
        partners = np.full_like(points, np.nan) if self.sided else points[load_skeleton().mirror]
        return points, _confidence(found, chosen, points, partners, SEPARATION * grid.spacing.max())

    def _choose(self, found: list[Candidates], apart: float) -> list[int]:
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
        """Registering and choosing in turn, from a pose (16, 3); None where too little is seen to register."""
        chosen = None
        for _ in range(ROUNDS):
            try:
                aligned, _ = self.library.support_set(pose, ATLASES, similarity=True)
            except FetalPoseError:
                return chosen
            mean, variance = aligned.mean(axis=0), aligned.var(axis=0).mean(axis=1) + ATLAS_SD**2
            distances = [((points - m) ** 2).sum(axis=1) for (points, _), m in zip(found, mean, strict=True)]
            extra = [np.minimum(d / (2 * v), MOST_DISTANCE_COST) for d, v in zip(distances, variance, strict=True)]
            before, chosen = chosen, choose(found, self.prior, apart=apart, extra=extra, shared=self.sided)
            if before is not None and before[0] == chosen[0]:
                break
            pose = _pose(found, chosen[0])
        return chosen


def _candidates(heatmaps, grid: Grid, fixed: dict) -> list[Candidates]:
    found = []
    for landmark, heatmap in enumerate(heatmaps):
        if landmark in fixed:
            found.append((np.asarray(fixed[landmark], dtype=np.float64)[None], np.ones(1)))
        else:
            voxels, heights = peaks(heatmap, CANDIDATES, CANDIDATE_DISTANCE)
            found.append((grid.to_world(voxels), heights))
    return found


def _likely(candidates: Candidates) -> Candidates:
    """Without the peaks that are low beside the highest; what is left keeps its index."""
    points, heights = candidates
    count = np.count_nonzero(heights >= LEAST_SHARE * heights.max(initial=0.0))
    return points[:count], heights[:count]


def _merged(found: list[Candidates], skeleton: Skeleton, fixed: dict, apart: float) -> list[Candidates]:
    """The candidates with those of the two of each pair put together: the highest that lie ``apart`` mm apart.

    A fixed point is no candidate of its partner, and neither is what lies as near to it.
    """
    merged = list(found)
    for pair in skeleton.symmetric_pairs:
        loose, held = ([found[i] for i in pair if (i in fixed) is there] for there in (False, True))
        if not loose:
            continue
        points, heights = (np.concatenate(both) for both in zip(*loose, strict=True))
        taken = np.concatenate([np.empty((0, 3)), *(points for points, _ in held)])
        kept: list[int] = []
        for i in np.argsort(-heights, kind="stable"):
            if (np.linalg.norm(np.concatenate([taken, points[kept]]) - points[i], axis=1) > apart).all():
                kept.append(i)
        for landmark in pair:
            if landmark not in fixed:
                merged[landmark] = points[kept[:CANDIDATES]], heights[kept[:CANDIDATES]]
    return merged


def _pose(found: list[Candidates], chosen: list[int]) -> np.ndarray:
    """The points (16, 3) mm that were chosen, NaN where none was."""
    return np.array([_at(found, landmark, np.array([c]))[0] for landmark, c in enumerate(chosen)])


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
