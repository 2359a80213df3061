"""The cheapest choice of one candidate per landmark on the skeleton's tree, exact by dynamic programming.

A pictorial structure (Felzenszwalb and Huttenlocher, IJCV 61, 2005) whose nodes are single landmarks and symmetric
pairs. A node costs more where its peaks are lower. An edge costs the negative log-likelihood of its segments'
lengths in a body of each size that is tried (`length_prior`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.skeleton import Skeleton
from FetalPoseLib.refinement.length_prior import SIZES_MM, LengthPrior

PEAK_WEIGHT = 5.0  # how many e-folds of a length's likelihood an e-fold of a peak's height outweighs

Candidates = tuple[np.ndarray, np.ndarray]  # points (P, 3) mm and the heights (P,) of their peaks, highest first


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
    shared : where all candidates of a pair lie nearer: whether both may be there, or one of the two is not visible.
    """
    nodes = _nodes(candidates, prior.skeleton, apart, extra, shared)
    root, edges = _tree(nodes, prior.skeleton)
    cost = [np.tile(node.cost, (len(SIZES_MM), 1)) for node in nodes]
    best = {}
    for child, parent in reversed(edges):
        both = cost[child][:, None] + _between(nodes[parent], nodes[child], candidates, prior)
        best[child] = both.argmin(axis=2)
        cost[parent] = cost[parent] + both.min(axis=2)
    chosen, state = [-1] * len(candidates), {}
    size, state[root] = np.unravel_index(cost[root].argmin(), cost[root].shape)
    for child, parent in edges:
        state[child] = best[child][size, state[parent]]
    for node, its_state in state.items():
        for landmark, choice in zip(nodes[node].landmarks, nodes[node].states[its_state], strict=True):
            chosen[landmark] = int(choice)
    return chosen, float(cost[root].min())


def _nodes(candidates: Sequence[Candidates], skeleton: Skeleton, apart: float, extra, shared: bool) -> list[_Node]:
    own = [-PEAK_WEIGHT * np.log(np.maximum(heights, 1e-3)) for _, heights in candidates]
    own = own if extra is None else [cost + more for cost, more in zip(own, extra, strict=True)]
    numbers = [np.arange(len(cost)) if len(cost) else np.array([-1]) for cost in own]
    cost = [np.append(c, 0.0) for c in own]  # the last, -1, is "not visible"
    nodes = []
    for pair in skeleton.symmetric_pairs:
        first, second = pair
        states = np.stack(np.meshgrid(numbers[first], numbers[second], indexing="ij"), axis=-1).reshape(-1, 2)
        between = np.linalg.norm(
            points_at(candidates, first, states[:, 0]) - points_at(candidates, second, states[:, 1]), axis=1
        )
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


def _tree(nodes: list[_Node], skeleton: Skeleton) -> tuple[int, list[tuple[int, int]]]:
    """The nodes as a tree: its root, and from there outwards (node, its parent)."""
    node_of = {landmark: i for i, node in enumerate(nodes) for landmark in node.landmarks}
    edges = [edge for level in skeleton.levels() for edge in level]
    (root,) = {node_of[child] for child, parent in edges if parent is None}
    links = [(node_of[child], node_of[parent]) for child, parent in edges if parent is not None]
    return root, list(dict.fromkeys(links))


def points_at(candidates: Sequence[Candidates], landmark: int, choices: np.ndarray) -> np.ndarray:
    """Points (S, 3) of choices (S,) of a landmark, NaN where it is not visible."""
    return np.vstack([candidates[landmark][0].reshape(-1, 3), np.full(3, np.nan)])[choices]


def _between(parent: _Node, child: _Node, candidates: Sequence[Candidates], prior: LengthPrior) -> np.ndarray:
    """Cost (24, parent's states, child's states) of the segments that join two nodes."""
    total: np.ndarray = np.zeros((len(SIZES_MM), len(parent.states), len(child.states)))
    for i, segment in enumerate(prior.skeleton.segments):
        for start, end in ((segment.start, segment.end), (segment.end, segment.start)):
            if start in parent.landmarks and end in child.landmarks:
                here = points_at(candidates, start, parent.states[:, parent.landmarks.index(start)])
                there = points_at(candidates, end, child.states[:, child.landmarks.index(end)])
                total = total + prior.cost(i, np.linalg.norm(here[:, None] - there, axis=2))
    return total
