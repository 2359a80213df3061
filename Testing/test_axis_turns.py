"""The 48 axis turns: what they do to arrays, to points and to left and right, and that all of it is undone."""

import numpy as np
import pytest
import torch

from FetalPoseLib.refinement.consensus import heatmaps_turned
from FetalPoseLib.volume.axis_turns import MIRROR, AxisTurn

AXIS_TURNS = AxisTurn.all()
SHAPE = (7, 5, 4)  # (nx, ny, nz), no two alike
IMAGE = torch.arange(140).reshape(SHAPE[::-1])


def test_all_48_show_the_volume_differently():
    shown = {(turn.apply(IMAGE).shape, tuple(turn.apply(IMAGE).flatten().tolist())) for turn in AXIS_TURNS}
    assert len(shown) == len(set(AXIS_TURNS)) == 48
    rng = np.random.default_rng(0)
    assert {AxisTurn.random(rng) for _ in range(600)} == set(AXIS_TURNS)


@pytest.mark.parametrize("leading", [(), (3,)])
def test_undone_it_is_as_before(leading):
    image = torch.randn(*leading, *SHAPE[::-1])
    for turn in AXIS_TURNS:
        assert torch.equal(turn.undo(turn.apply(image)), image), turn


def test_points_go_where_their_voxels_go():
    points = np.array([[0, 0, 0], [6, 0, 1], [2, 4, 3], [5, 1, 2]])
    for turn in AXIS_TURNS:
        turned = turn.apply(IMAGE)
        x, y, z = turn.voxels(points, SHAPE).astype(int).T
        assert turned[z, y, x].tolist() == [int(IMAGE[k, j, i]) for i, j, k in points], turn
    middle = (np.array(SHAPE) - 1) / 2  # between the voxels, too
    np.testing.assert_allclose(MIRROR.voxels(middle + [0.3, 0.2, 0.1], SHAPE), middle + [-0.3, 0.2, 0.1])


def test_it_mirrors_just_when_it_changes_handedness():
    for turn in AXIS_TURNS:
        origin, *axes = turn.voxels(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), SHAPE)
        assert turn.mirrors == (np.linalg.det(np.array(axes) - origin) < 0), turn
    assert sum(turn.mirrors for turn in AXIS_TURNS) == 24 and MIRROR.mirrors and not AxisTurn().mirrors


# --- looking at a turned volume

BODY = {"sacrum": (6, 3, 2), "neck": (5, 3, 9), "front": (6, 8, 3)}  # voxels of 7 x 11 x 13, by landmark
SIDES = {"right": (1, 4, 4), "left": (4, 2, 6)}  # both alike: only the body tells which is which
PARTS = [*BODY, *SIDES]
SWAPPED = np.array([0, 1, 2, 4, 3])


def body(shape=(7, 11, 13)) -> torch.Tensor:
    image = torch.zeros(shape[::-1])
    for grey, (x, y, z) in enumerate([*BODY.values(), *SIDES.values()], start=1):
        image[z, y, x] = min(grey, 4)
    return image


def network(image: torch.Tensor, stride: int = 2) -> torch.Tensor:
    """Marks the body's parts by their greys, the two sides by the body's handedness, at 1/stride of the resolution."""
    at = {grey: (image == grey).nonzero().double() for grey in (1, 2, 3, 4)}
    sacrum, neck, front = (at[grey][0] for grey in (1, 2, 3))
    volume = [torch.linalg.det(torch.stack([neck - sacrum, front - sacrum, side - sacrum])) for side in at[4]]
    right, left = at[4][[int(np.argmax(volume)), int(np.argmin(volume))]]
    heatmaps = torch.zeros(len(PARTS), *(-(-n // stride) for n in image.shape))
    for heatmap, voxel in zip(heatmaps, (sacrum, neck, front, right, left), strict=True):
        heatmap[tuple((voxel // stride).long())] = 1
    return heatmaps


@pytest.mark.parametrize("stride", [1, 2])
def test_heatmaps_of_a_turned_volume_come_back_in_place_with_sides_right(stride):
    """The sides are multiples of the stride, or the first voxel of the turned volume would share another's."""
    image = body((8, 12, 14))
    expected = network(image, stride)
    for turn in AXIS_TURNS:
        found = heatmaps_turned(lambda turned: network(turned, stride), image, turn, SWAPPED)
        assert torch.equal(found, expected), turn
    wrong = heatmaps_turned(lambda turned: network(turned, stride), image, MIRROR, np.arange(5))
    assert torch.equal(wrong[SWAPPED], expected), "the mirror image has its sides exchanged"
