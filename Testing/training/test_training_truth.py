"""Training samples: truth stays on its anatomy in every augmentation."""

import numpy as np
import pytest
import torch
from training_cases import LANDMARKS, SKELETON

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.training.pool import PoolCase
from FetalPoseLib.training.tasks import _turn_axes, draw, make_task, mirror_body
from FetalPoseLib.volume.axis_turns import AxisTurn
from FetalPoseLib.volume.grid import Grid

# --- truth stays on its anatomy


def marked_body():
    """A body of 16 voxels of different brightness, and a brighter one before its spine that says where its front is."""
    grid = Grid((40, 44, 48), np.eye(4))
    rng = np.random.default_rng(5)
    frame = FetalFrame(np.eye(3), np.array([20.0, 22, 24]), 12.0)
    voxels = np.round(frame.to_world(FetalFrame.from_landmarks(LANDMARKS).to_body(LANDMARKS)))
    voxels += rng.integers(0, 2, voxels.shape)  # no two sides alike
    image = torch.zeros(grid.array_shape)
    for i, (x, y, z) in enumerate(voxels.astype(int)):
        image[z, y, x] = i + 1
    front = np.round(voxels[SKELETON.index("spine")] + [0, 6, 0]).astype(int)
    image[tuple(front[::-1])] = 100
    return image, grid, voxels


def check_truth(image, grid, points) -> bool:
    """Every landmark lies on its own voxel, or every one on its partner's; returns whether it is the partners.

    Whatever happened to the array, the body it now shows must have its right side where its front and head demand it.
    """
    voxels = np.round(grid.to_voxel(points)).astype(int)
    names = np.array([int(image[z, y, x]) - 1 for x, y, z in voxels])
    mirrored = names[SKELETON.index("right_wrist")] == SKELETON.index("left_wrist")
    np.testing.assert_array_equal(names, SKELETON.mirror if mirrored else np.arange(16))
    front = grid.to_world(np.argwhere(image.numpy() == 100)[0][::-1].astype(float))
    body_front = FetalFrame.from_landmarks(points).to_body(front[None])[0]
    spine = FetalFrame.from_landmarks(points).to_body(points)[SKELETON.index("spine")]
    assert body_front[1] > spine[1], "the sides are exchanged: front and head make the body's right another"
    return mirrored


def test_a_mirrored_body_changes_its_sides():
    image, grid, landmarks = marked_body()
    assert not check_truth(image, grid, landmarks)
    flipped, points = mirror_body(image, grid, landmarks)
    assert check_truth(flipped, grid, points)
    with pytest.raises(AssertionError):  # the check itself: without the exchange it would not pass
        check_truth(flipped, grid, points[SKELETON.mirror])


def test_turned_axes_change_sides_exactly_when_they_mirror():
    image, grid, landmarks = marked_body()
    seen = set()
    for seed in range(150):
        turned, other, points = _turn_axes(image, grid, landmarks, AxisTurn.random(np.random.default_rng(seed)))
        mirrored = check_truth(turned, other, points)
        seen.add((mirrored, tuple(np.round(points[SKELETON.index("head")]))))
    assert len(seen) > 40 and 20 <= sum(mirrored for mirrored, _ in seen) <= 24  # nearly all of the 48


@pytest.mark.parametrize("name", ["locate", "orient", "detect", "whole"])
def test_a_sample_shows_its_points(case, name):
    """Augmented or not, the brightness at the points is that of the blobs."""
    task = make_task(name, 2.0)
    for rng in (None, *(np.random.default_rng(seed) for seed in range(3))):
        sample = draw(task, case, rng)
        voxels = np.round(sample.grid.to_voxel(sample.points)).astype(int)
        inside = ((voxels >= 0) & (voxels < sample.grid.shape)).all(axis=1)
        inside[[4] if task.channels == 5 else []] = False  # "front" is no blob
        values = [float(sample.image[z, y, x]) for x, y, z in voxels[inside]]
        grey = float(sample.image[sample.image != 0].median())
        assert inside.sum() >= 4 and min(values) > grey + 0.5


def views(case, *, draws=200) -> list[torch.Tensor]:
    """The different images that the task 'whole' draws of a case."""
    task, seen = make_task("whole", 2.0), []
    for seed in range(draws):
        image = draw(task, case, np.random.default_rng(seed)).image
        if not any(image.shape == other.shape and torch.equal(image, other) for other in seen):
            seen.append(image)
    return seen


def small(name: str) -> PoolCase:
    """A case of few voxels, no two sides alike."""
    volume = np.random.default_rng(0).integers(1, 255, (4, 5, 6)).astype(np.uint8)
    return PoolCase(name, volume, Grid((6, 5, 4), np.diag([2.0, 2.0, 2.0, 1.0])), LANDMARKS)


def test_a_case_is_shown_in_the_same_few_views_every_time():
    first, again, other = (views(small(name)) for name in ("own-one", "own-one", "own-two"))
    assert len(first) == len(again) <= 8 and len(first) > 4
    for image in first:
        assert any(image.shape == same.shape and torch.equal(image, same) for same in again)
    sizes = [sorted((tuple(image.shape), image.flatten()[0].item()) for image in images) for images in (first, other)]
    assert sizes[0] != sizes[1], "another case is turned in other ways"
    task = make_task("whole", 2.0)
    with_rng = draw(task, small("own-one"), np.random.default_rng(0)).image
    upright = draw(task, small("own-one"), None).image
    torch.testing.assert_close(with_rng.flatten().sort().values, upright.flatten().sort().values)  # no other greys


def test_a_case_is_shown_in_eight_views():
    assert {len(views(small(f"train-{subject:03d}"))) for subject in range(12)} == {8}
