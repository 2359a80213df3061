"""Refinement by further views: what they are, how they are joined, and what one mistaken look can do."""

from functools import partial

import numpy as np
import pytest
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.network.heatmaps import render
from FetalPoseLib.refinement.consensus import VIEW_SD, Consensus, frame_of_view
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.axis_turns import MIRROR, AxisTurn
from FetalPoseLib.volume.grid import Grid

SKELETON = load_skeleton()
LIBRARY = PoseLibrary.load(resource_path("pose_library.npz"))
JOINTLY, ONE_BY_ONE = PoseReader(LIBRARY), PoseReader(None)
GRID = Grid((36, 32, 40), np.diag([2.0, 2.0, 2.0, 1.0]))
WRIST = SKELETON.index("right_wrist")


@pytest.fixture
def body() -> np.ndarray:
    pose = LIBRARY.poses[0]
    return pose - (pose.min(axis=0) + pose.max(axis=0)) / 2 + GRID.to_world((np.array(GRID.shape) - 1) / 2)


def painted(points) -> torch.Tensor:
    return render(GRID.to_voxel(points), GRID.array_shape, 1.5)


def with_wrist(body, place) -> torch.Tensor:
    points = body.copy()
    points[WRIST] = place
    return painted(points)


def test_a_mistake_in_one_look_of_three_is_outvoted(body):
    """Without the pose library, so that only the views can put it right; the later mistake does no harm at all."""
    elbow = body[SKELETON.index("right_elbow")]
    wrong = 2 * elbow - body[WRIST]
    first, right = with_wrist(body, wrong), painted(body)
    asked, before = [], first.clone()

    def look(number):
        asked.append(number)
        return right

    steps = list(Consensus(look, GRID, ONE_BY_ONE, iterations=2).run(first))
    assert [step.iteration for step in steps] == [0, 1, 2] and asked == [1, 2]
    errors = [np.linalg.norm(step.points[WRIST] - body[WRIST]) for step in steps]
    assert errors[0] > 10 and errors[2] < 0.1
    assert steps[2].confidence[WRIST] == pytest.approx(2 / 3 * 2 / 3, abs=0.02), "a third of the views disagree"
    assert torch.equal(first, before), "the first look's heatmaps are the caller's"
    *_, last = Consensus(lambda number: first if number == 2 else right, GRID, ONE_BY_ONE, iterations=2).run(right)
    np.testing.assert_allclose(last.points, body, atol=0.1)


def test_every_look_counts_the_same(body):
    """The heights of three peaks are what the first look and two further ones give them, in whatever order."""
    places = [body[WRIST] + shift for shift in ([0, 0, 0], [0, 16, 0], [0, 0, 16])]
    looks = [painted(body), 0.8 * with_wrist(body, places[1]), 0.9 * with_wrist(body, places[2])]
    for order in ([0, 1, 2], [2, 1, 0]):
        first, *others = (looks[i] for i in order)
        further = Consensus(lambda number, others=others: others[number - 1], GRID, ONE_BY_ONE, iterations=2)
        *_, last = further.run(first)
        np.testing.assert_allclose(last.points, ONE_BY_ONE.read(sum(looks) / 3, GRID)[0], atol=1e-3)
        assert last.confidence[0] == pytest.approx(0.9, abs=0.01), "the mean of 1, 0.8 and 0.9"


def test_no_further_view_is_the_joint_reading_of_the_first(body):
    wrong = body[SKELETON.index("right_elbow")] + 3 * (body[WRIST] - body[SKELETON.index("right_elbow")])
    maps = (0.7 * painted(body)).maximum(0.9 * with_wrist(body, wrong))
    placed = {0: body[0] + 1.0}
    (only,) = Consensus(lambda _: pytest.fail("nobody asked for it"), GRID, JOINTLY, 0, placed).run(maps)
    points, confidence = JOINTLY.read(maps, GRID, placed)
    np.testing.assert_array_equal(only.points, points)
    np.testing.assert_array_equal(only.confidence, confidence)
    assert np.linalg.norm(only.points[WRIST] - body[WRIST]) < 0.1, "and that is not the highest peak"


def test_placed_points_stay_in_every_iteration(body):
    placed = {WRIST: body[WRIST] + 4.0}
    for step in Consensus(lambda _: painted(body), GRID, JOINTLY, 2, placed).run(painted(body)):
        np.testing.assert_array_equal(step.points[WRIST], placed[WRIST])
        assert step.confidence[WRIST] == 1


@pytest.mark.parametrize(
    "bad, message", [({"iterations": -1}, "-1"), ({"placed": {3: np.array([0, np.nan, 0])}}, "finite")]
)
def test_bad_options_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Consensus(lambda _: None, GRID, JOINTLY, **bad)


def test_views_are_the_same_every_time_and_each_from_elsewhere():
    frame = FetalFrame(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([10.0, -4, 7]), 25.0)
    look = partial(frame_of_view, frame)
    assert look(1) == (frame, MIRROR), "the first is the mirror image in the same frame"
    seen, (degrees, shift, scale) = [], VIEW_SD
    for number in range(1, 21):
        (there, turn), (again, same) = look(number), look(number)
        np.testing.assert_array_equal(there.to_world(np.eye(3)), again.to_world(np.eye(3)))
        assert turn == same == (MIRROR if number % 2 else AxisTurn())
        seen.append(tuple(there.origin))
        assert there.angle_to(frame) < 4 * degrees
        assert np.abs(there.origin - frame.origin).max() < 4 * shift * frame.size
        assert abs(np.log(there.size / frame.size)) < 4 * scale
    assert len(set(seen)) == 20
    shifts = (np.array(seen[1:]) - frame.origin) / frame.size
    assert 0.6 * shift < shifts.std() < 1.5 * shift
