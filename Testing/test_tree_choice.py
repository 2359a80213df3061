"""The choice of peaks: the cheapest of all combinations, by a prior of lengths."""

from itertools import product

import numpy as np
import pytest
from painted_poses import ELBOW, LIBRARY, OTHER_WRIST, PRIOR, SKELETON, WRIST, atlas, distance

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.length_prior import LEAST_LOG_SD, MAX_LENGTH_COST, SIZES_MM, LengthPrior
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.refinement.tree_choice import PEAK_WEIGHT, choose


@pytest.fixture
def body() -> np.ndarray:
    return atlas(0)


# --- choosing


def length_costs(segment: int, lengths) -> np.ndarray:
    """By hand, what lengths (...) cost in a body of each size: (S, ...)."""
    z = (np.log(lengths / SIZES_MM.reshape(-1, 1, 1)) - PRIOR.mean[segment]) / PRIOR.sd[segment]
    return np.minimum(z**2 / 2, MAX_LENGTH_COST)


@pytest.mark.parametrize("apart", [0.0, 15.0])
@pytest.mark.parametrize("unseen", [(), (ELBOW, SKELETON.index("left_hip"), SKELETON.index("sacrum"))])
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_the_cheapest_of_all_combinations(body, seed, unseen, apart):
    """Two or three candidates for six landmarks, whose costs are as close as chance makes them."""
    rng = np.random.default_rng(seed)
    several = [*rng.choice(14, 4, replace=False), WRIST, OTHER_WRIST]
    candidates = []
    for landmark, point in enumerate(body):
        count = 0 if landmark in unseen else rng.integers(2, 4) if landmark in several else 1
        heights = np.sort(rng.uniform(0.5, 1.0, count))[::-1]
        candidates.append((point + rng.normal(0, 12, (count, 3)), heights))
    seen = [landmark for landmark in range(16) if landmark not in unseen]
    extra = [rng.uniform(0, 3, len(heights)) for _, heights in candidates]
    combinations = list(product(*(range(max(len(heights), 1)) for _, heights in candidates)))
    index = np.array(combinations).T
    total = np.zeros((len(SIZES_MM), len(combinations)))
    for landmark in seen:
        own = extra[landmark] - PEAK_WEIGHT * np.log(candidates[landmark][1])
        total += own[index[landmark]]
    for s, segment in enumerate(SKELETON.segments):
        if segment.start in seen and segment.end in seen:
            between = distance(candidates[segment.start][0][:, None], candidates[segment.end][0])
            total += length_costs(s, between)[:, index[segment.start], index[segment.end]]
    for one, other in SKELETON.symmetric_pairs:
        if one in seen and other in seen:
            near = distance(candidates[one][0][:, None], candidates[other][0]) < apart
            if not near.all():
                total[:, near[index[one], index[other]]] = np.inf
    chosen, cost = choose(candidates, PRIOR, apart=apart, extra=extra)
    expected = combinations[int(total.min(axis=0).argmin())]
    assert chosen == [-1 if landmark in unseen else expected[landmark] for landmark in range(16)]
    assert cost == pytest.approx(total.min())


def test_the_prior_is_the_librarys_and_never_too_sure():
    segment = SKELETON.segments[12]
    sizes = np.array([FetalFrame.from_landmarks(pose).size for pose in LIBRARY.poses])
    shares = distance(LIBRARY.poses[:, segment.start], LIBRARY.poses[:, segment.end]) / sizes
    assert PRIOR.mean[12] == pytest.approx(np.log(shares).mean())
    assert PRIOR.sd[12] == pytest.approx(max(np.log(shares).std(), LEAST_LOG_SD))
    stretched = LIBRARY.poses.copy()
    start, end = stretched[::2, segment.start], stretched[::2, segment.end]
    stretched[::2, segment.end] = start + 3 * (end - start)
    wide = LengthPrior.of(PoseLibrary(stretched))
    assert wide.sd[12] == pytest.approx(np.log(3) / 2, rel=0.05) and wide.sd[1] == PRIOR.sd[1]
    alone = LengthPrior.of(PoseLibrary(LIBRARY.poses[:1]))
    np.testing.assert_array_equal(alone.sd, LEAST_LOG_SD)
    own = alone.cost(12, np.array([0.0, np.nan, shares[0] * SIZES_MM[7]]))
    np.testing.assert_allclose(own[7], [MAX_LENGTH_COST, 0.0, 0.0], atol=1e-9)


def test_an_empty_library_is_refused():
    with pytest.raises(FetalPoseError, match="empty: add at least one atlas"):
        PoseReader(PoseLibrary(np.empty((0, 16, 3))))
