"""Poses read from heatmaps: anatomically possible, placed points kept, sides from the library."""

import numpy as np
import pytest
import torch
from painted_poses import ELBOW, GRID, LIBRARY, OTHER_WRIST, PRIOR, SKELETON, WRIST, atlas, distance, grid_of

from FetalPoseLib.network.heatmaps import decode, render
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.refinement.tree_choice import choose
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.volume.grid import Grid

SIGMA = 1.5


@pytest.fixture
def body() -> np.ndarray:
    return atlas(0)


def painted(points, *others, grid=GRID) -> torch.Tensor:
    """The maps of a body, and with them other peaks: landmark, place in RAS mm, height."""
    maps = render(grid.to_voxel(points), grid.array_shape, SIGMA)
    for landmark, place, height in others:
        elsewhere = np.full((len(points), 3), np.nan)
        elsewhere[landmark] = grid.to_voxel(place)
        maps = maps.maximum(height * render(elsewhere, grid.array_shape, SIGMA))
    return maps


def without(points, *landmarks) -> np.ndarray:
    """The body with these unseen."""
    return np.where(np.isin(np.arange(len(points)), landmarks)[:, None], np.nan, points)


def on_forearm(body, length: float) -> np.ndarray:
    """A place that is so many true lengths of the forearm away from the elbow."""
    return body[ELBOW] + length * (body[WRIST] - body[ELBOW])


def read(maps, grid=GRID, *, library=LIBRARY, sided=True, placed=None):
    return PoseReader(library, sided=sided).read(maps, grid, placed)


# --- reading a pose


@pytest.mark.parametrize("sided", [True, False])
@pytest.mark.parametrize("index", [0, 3, 100, 250])
def test_a_body_without_doubts_is_read_as_it_is(index, sided):
    points = atlas(index)
    found, confidence = read(painted(points), sided=sided)
    np.testing.assert_allclose(found, points, atol=0.05)
    np.testing.assert_allclose(confidence, 1, atol=0.02)


def test_a_wrist_whose_higher_peak_is_impossible_is_read_at_its_second(body):
    far = on_forearm(body, 3.0)
    maps = painted(without(body, WRIST), (WRIST, far, 1.0), (WRIST, body[WRIST], 0.6))
    assert distance(decode(maps)[0][WRIST], GRID.to_voxel(far)) < 0.1, "alone it would be read at the higher one"
    points, confidence = read(maps)
    np.testing.assert_allclose(points, body, atol=0.1)
    assert confidence[WRIST] == pytest.approx(0.6 * 0.6 / 1.6, abs=0.02)


def test_of_two_plausible_peaks_the_higher_is_read(body):
    other = on_forearm(body, -1.0)  # as far from the elbow as the true one
    maps = painted(without(body, WRIST), (WRIST, other, 0.9), (WRIST, body[WRIST], 0.6))
    points, confidence = read(maps)
    assert distance(points[WRIST], other) < 0.1
    np.testing.assert_allclose(confidence, decode(maps)[1], atol=1e-6)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5])
def test_the_same_body_in_another_size_gives_the_same_choice(body, factor):
    maps = painted(without(body, WRIST), (WRIST, on_forearm(body, 2.0), 1.0), (WRIST, body[WRIST], 0.8))
    scaled = grid_of(2.0 * factor)
    points, confidence = read(maps, scaled)
    np.testing.assert_allclose(points, scaled.to_world(GRID.to_voxel(body)), atol=0.1 * factor)
    np.testing.assert_array_equal(confidence, read(maps)[1])


def test_the_body_says_how_long_a_forearm_is(body):
    """The same two candidates in millimetres, the longer twice the other: each is right in a body of its size."""
    short, long = on_forearm(body, 0.8), on_forearm(body, 1.6)
    for factor, expected, heights in ((0.8, short, (0.9, 1.0)), (1.6, long, (1.0, 0.9))):
        points = body[ELBOW] + factor * (body - body[ELBOW])
        candidates = [(point[None], np.ones(1)) for point in points]
        order = np.argsort(heights)[::-1]
        candidates[WRIST] = (np.array([short, long])[order], np.array(heights)[order])
        assert choose(candidates, PRIOR)[0][WRIST] == 1, "the lower peak of the two"
        np.testing.assert_array_equal(candidates[WRIST][0][1], expected)


def test_the_atlases_say_which_of_two_possible_places_is_the_usual():
    """A knee that bends backwards is as far from hip and ankle as the true one: to the lengths both are the same."""
    body, (hip, knee, ankle) = atlas(352), SKELETON.limbs["left_leg"]
    axis = (body[ankle] - body[hip]) / distance(body[ankle], body[hip])
    backwards = 2 * (body[hip] + axis * (axis @ (body[knee] - body[hip]))) - body[knee]
    candidates = [(point[None], np.ones(1)) for point in body]
    candidates[knee] = np.array([backwards, body[knee]]), np.array([1.0, 0.9])
    assert choose(candidates, PRIOR)[0][knee] == 0
    points, _ = read(painted(without(body, knee), (knee, backwards, 1.0), (knee, body[knee], 0.9)))
    np.testing.assert_allclose(points, body, atol=0.1)


def test_what_cannot_be_registered_is_read_by_the_lengths_alone(body):
    """Of a trunk there is one shoulder: no atlas can be brought there."""
    arm = [SKELETON.index("right_shoulder"), ELBOW, WRIST]
    others = np.setdiff1d(np.arange(16), arm)
    far = on_forearm(body, 3.0)
    points, confidence = read(painted(without(body, *others, WRIST), (WRIST, far, 1.0), (WRIST, body[WRIST], 0.9)))
    np.testing.assert_allclose(points[arm], body[arm], atol=0.1)
    assert np.isnan(points[others]).all() and not confidence[others].any()


def test_an_empty_map_is_nan_and_the_limb_beyond_it_is_still_read(body):
    hip, knee, ankle = (SKELETON.index(f"right_{joint}") for joint in ("hip", "knee", "ankle"))
    beyond = body[knee] + 3 * (body[ankle] - body[knee])
    maps = painted(without(body, hip, ankle), (ankle, beyond, 1.0), (ankle, body[ankle], 0.8))
    maps[0] = -maps[0]  # below zero, so empty as well
    points, confidence = read(maps)
    for empty in (hip, 0):
        assert np.isnan(points[empty]).all() and confidence[empty] == 0
    np.testing.assert_allclose(np.delete(points, [hip, 0], axis=0), np.delete(body, [hip, 0], axis=0), atol=0.1)
    points, confidence = read(torch.zeros_like(maps))
    assert np.isnan(points).all() and not confidence.any()


@pytest.mark.parametrize("sided", [True, False])
def test_placed_points_stay_and_their_place_is_not_given_to_the_partner(body, sided):
    """The network takes both hands for one: its map of the left wrist is highest where a person put the right one."""
    maps = painted(
        without(body, OTHER_WRIST), (OTHER_WRIST, body[WRIST] + 1.0, 1.0), (OTHER_WRIST, body[OTHER_WRIST], 0.5)
    )
    placed = {WRIST: body[WRIST] + [0.5, -0.25, 0.125]}
    assert distance(read(maps, library=None)[0][OTHER_WRIST], body[WRIST]) < 3
    points, confidence = read(maps, placed=placed, sided=sided)
    np.testing.assert_array_equal(points[WRIST], placed[WRIST])
    assert confidence[WRIST] == 1
    assert distance(points[OTHER_WRIST], body[OTHER_WRIST]) < 0.1
    np.testing.assert_allclose(np.delete(points, WRIST, axis=0), np.delete(body, WRIST, axis=0), atol=0.1)
    maps[OTHER_WRIST] = painted(body)[WRIST]  # no other place for it
    there = read(maps, sided=sided, placed=placed)[0][OTHER_WRIST]
    assert distance(there, body[WRIST]) < 0.1 if sided else np.isnan(there).all()


@pytest.mark.parametrize("sided", [True, False])
def test_a_placed_point_stays_where_the_network_does_not_see_it(body, sided):
    """Nor does one without sides put it back by what the other wrist's map shows of both."""
    placed, maps = {WRIST: on_forearm(body, 2.5)}, painted(body)
    maps = maps if sided else maps.maximum(maps[SKELETON.mirror.copy()])
    points, confidence = read(maps, placed=placed, sided=sided)
    np.testing.assert_array_equal(points[WRIST], placed[WRIST])
    assert confidence[WRIST] == 1
    np.testing.assert_allclose(np.delete(points, WRIST, axis=0), np.delete(body, WRIST, axis=0), atol=0.1)


def test_a_placed_point_draws_what_hangs_on_it(body):
    """A person puts the elbow elsewhere: of two wrists, the lower one that belongs to that elbow is read."""
    shift = 2 * (body[ELBOW] - body[WRIST])
    maps = painted(body, (WRIST, body[WRIST] + shift, 0.8))
    assert distance(read(maps)[0][WRIST], body[WRIST]) < 0.1
    points, _ = read(maps, placed={ELBOW: body[ELBOW] + shift})
    assert distance(points[WRIST], body[WRIST] + shift) < 0.1


def test_without_a_library_every_landmark_is_read_at_its_highest_peak(body):
    rng = np.random.default_rng(0)
    others = [(i, GRID.to_world(rng.uniform(4, 31, 3)), rng.uniform(0.3, 1.4)) for i in range(0, 16, 2)]
    maps = painted(body, *others).numpy()  # an array will do
    points, confidence = read(maps, library=None)
    expected, sure = decode(maps)
    np.testing.assert_allclose(points, GRID.to_world(expected))
    np.testing.assert_allclose(confidence, sure, atol=1e-6)


# --- sides


@pytest.mark.parametrize("index", range(6))
def test_a_network_without_sides_gets_them_from_the_library(index):
    """Both limbs in the maps of either, the wrong one higher as often as not, of bodies that are no atlas."""
    rng = np.random.default_rng(index)
    points = draw_subject("validation", index).body.landmarks
    shape, spacing = (60, 60, 60), 2.0
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = (points.min(axis=0) + points.max(axis=0)) / 2 - spacing * 29.5
    grid = Grid(shape, affine)
    own = painted(points, grid=grid)
    heights = torch.tensor(rng.uniform(0.5, 0.9, (2, 16, 1, 1, 1)), dtype=torch.float32)
    maps = (heights[0] * own).maximum(heights[1] * own[SKELETON.mirror.copy()])
    found, confidence = read(maps, grid, sided=False)
    np.testing.assert_allclose(found, points, atol=0.3)
    assert confidence.min() > 0.45, "the partner's peak is no rival"
    alone = read(maps, grid, library=None)[0]
    assert distance(alone, points).max() > 5, "one by one, they are on the wrong sides"


def test_only_a_network_without_sides_is_put_right(body):
    exchanged = painted(body)[SKELETON.mirror.copy()]
    np.testing.assert_allclose(read(exchanged)[0], body[SKELETON.mirror], atol=0.05)
    np.testing.assert_allclose(read(exchanged, sided=False)[0], body, atol=0.05)


@pytest.mark.parametrize("limb", ["left_arm", "left_leg"])
def test_arms_and_legs_are_put_right_each_for_themselves(body, limb):
    moved = [*SKELETON.limbs[limb], *SKELETON.limbs[SKELETON.partner(limb)]]
    maps = painted(body)
    maps[moved] = maps[SKELETON.mirror[moved]]
    np.testing.assert_allclose(read(maps, sided=False)[0], body, atol=0.05)


def test_of_two_hands_in_one_place_one_is_not_visible(body):
    """Both maps know one hand only, as where the other is cut off: without sides it is not given to both."""
    maps = painted(without(body, OTHER_WRIST), (OTHER_WRIST, body[WRIST], 0.9))
    points, confidence = read(maps, sided=False)
    seen = np.isfinite(points[[WRIST, OTHER_WRIST]]).all(axis=1)
    assert seen.sum() == 1 and confidence[[WRIST, OTHER_WRIST]].min() == 0
    points, confidence = read(maps)  # a network that tells them apart may see both there
    assert np.isfinite(points[[WRIST, OTHER_WRIST]]).all()


def test_a_network_with_sides_that_marks_both_hands_is_unsure(body):
    own = painted(body)
    maps = own.clone()
    for landmark, partner in ((WRIST, OTHER_WRIST), (OTHER_WRIST, WRIST)):
        maps[landmark] = (0.9 * own[landmark]).maximum(0.9 * own[partner])
    assert read(maps)[1][[WRIST, OTHER_WRIST]] == pytest.approx([0.45, 0.45], abs=0.02)
    assert read(maps, sided=False)[1][[WRIST, OTHER_WRIST]] == pytest.approx([0.9, 0.9], abs=0.02)


def test_a_placed_point_without_sides_leaves_its_partner_where_it_is(body):
    """Both hands are weak in both maps: the placed one is no peak beside which the other would be too low."""
    own = painted(body)
    maps = own.clone()
    for landmark, partner in ((WRIST, OTHER_WRIST), (OTHER_WRIST, WRIST)):
        maps[landmark] = 0.35 * own[landmark].maximum(own[partner])
    points, _ = read(maps, sided=False, placed={OTHER_WRIST: body[OTHER_WRIST] + 0.5})
    assert distance(points[WRIST], body[WRIST]) < 0.1
