"""The fetus's own frame follows the body, never its mirror image."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import grid_in_frame

SKELETON = load_skeleton()
BODY = np.array([  # x right, y anterior, z cranial, in mm: knees and wrists lie in front
    [0, 4, 32], [8, 0, 20], [0, -2, 22], [-8, 0, 20], [-10, 4, 10], [-5, 10, 14], [0, -5, 10], [0, -4, 0],
    [11, 3, 11], [6, 9, 15], [4, 0, 0], [6, 12, 2], [5, 8, -8], [-4, 0, 0], [-6, 12, 3], [-5, 8, -7],
], dtype=float)  # fmt: skip


def turned(points, seed):
    turn = Rotation.random(random_state=seed).as_matrix()
    shift = np.random.default_rng(seed).normal(size=3) * 50
    return points @ turn.T + shift, turn, shift


def test_axes_of_a_body_that_stands_in_the_world():
    frame = FetalFrame.from_landmarks(BODY)
    columns = frame.rotation.T
    assert columns[0] @ [1, 0, 0] > 0.99 and columns[1] @ [0, 1, 0] > 0.99 and columns[2] @ [0, 0, 1] > 0.99
    np.testing.assert_allclose(frame.origin, [0, -3, 11])
    path = np.linalg.norm(BODY[2] - BODY[6]) + np.linalg.norm(BODY[6] - BODY[7])
    assert frame.size == pytest.approx(path)


@pytest.mark.parametrize("seed", range(5))
def test_the_frame_turns_with_the_body(seed):
    points, turn, shift = turned(BODY, seed)
    frame, upright = FetalFrame.from_landmarks(points), FetalFrame.from_landmarks(BODY)
    np.testing.assert_allclose(frame.rotation, turn @ upright.rotation, atol=1e-12)
    np.testing.assert_allclose(frame.to_body(points), upright.to_body(BODY), atol=1e-12)
    np.testing.assert_allclose(frame.to_world(frame.to_body(points)), points, atol=1e-10)
    twice = FetalFrame.from_landmarks(2 * points).to_body(2 * points)
    np.testing.assert_allclose(twice, upright.to_body(BODY), atol=1e-12)


def test_a_mirrored_body_has_a_proper_frame_and_its_own_right():
    mirrored = (BODY * [-1, 1, 1])[SKELETON.mirror]
    frame = FetalFrame.from_landmarks(mirrored)
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    body = frame.to_body(mirrored)
    assert body[SKELETON.index("right_shoulder"), 0] > 0 > body[SKELETON.index("left_hip"), 0]
    assert (body[[11, 14, 5, 9], 1] > 0).all()
    wrong = FetalFrame.from_landmarks(BODY * [-1, 1, 1])  # sides not renamed: knees now seem to lie behind
    assert (wrong.to_body(BODY * [-1, 1, 1])[[11, 14], 1] < 0).all()


def test_a_frame_is_never_a_reflection():
    for matrix in (np.diag([-1.0, 1, 1]), 2 * np.eye(3), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match="rotation"):
            FetalFrame(matrix, np.zeros(3), 10.0)
    with pytest.raises(ValueError, match="size"):
        FetalFrame(np.eye(3), np.zeros(3), 0.0)


def test_missing_and_degenerate_trunks_are_named():
    points = BODY.copy()
    points[[7, 10]] = np.nan
    with pytest.raises(FetalPoseError, match="sacrum, right_hip"):
        FetalFrame.from_landmarks(points)
    points = BODY.copy()
    points[[5, 12]] = np.nan
    FetalFrame.from_landmarks(points)  # limbs are not needed
    points = BODY.copy()
    points[7] = points[2]
    with pytest.raises(FetalPoseError, match="coincide"):
        FetalFrame.from_landmarks(points)
    points = BODY * [0, 1, 1]
    with pytest.raises(FetalPoseError, match="apart"):
        FetalFrame.from_landmarks(points)


@pytest.mark.parametrize("multiple", [1, 16, 32])
def test_the_body_grid_covers_its_box(multiple):
    points, _, _ = turned(BODY, 7)
    frame = FetalFrame.from_landmarks(points)
    lower, upper = np.array([-0.9, -0.6, -1.2]), np.array([0.9, 1.0, 1.4])
    grid = grid_in_frame(frame, lower, upper, 40, multiple=multiple)
    assert all(n % multiple == 0 for n in grid.shape) and grid.shape[2] >= 104
    assert all(n < 40 * e + multiple for n, e in zip(grid.shape, upper - lower, strict=True))
    np.testing.assert_allclose(grid.spacing, frame.size / 40)
    np.testing.assert_allclose(grid.affine[:3, :3] / grid.spacing, frame.rotation, atol=1e-12)
    corners = frame.to_body(grid.corners())
    assert (corners.min(axis=0) <= lower + 1e-9).all() and (corners.max(axis=0) >= upper - 1e-9).all()
    np.testing.assert_allclose(corners.mean(axis=0), (lower + upper) / 2, atol=1e-9)


def test_angles():
    frame = FetalFrame(np.eye(3), np.zeros(3), 20.0)
    for degrees in (0.0, 1e-4, 33.0, 90.0, 179.0):
        turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.6, 0.0, 0.8])).as_matrix()
        other = FetalFrame(turn @ frame.rotation, np.zeros(3), 20.0)
        assert frame.angle_to(other) == pytest.approx(degrees, abs=1e-6)
        assert other.angle_to(frame) == pytest.approx(degrees, abs=1e-6)


def test_disturbance_has_the_size_asked_for():
    rng = np.random.default_rng(0)
    frame = FetalFrame.from_landmarks(turned(BODY, 3)[0])
    others = [frame.disturbed(rng, rotation_deg=15, shift=0.1, scale=0.05) for _ in range(800)]
    angles = np.array([frame.angle_to(other) for other in others])
    assert np.sqrt((angles**2).mean()) == pytest.approx(15, rel=0.1)
    shifts = np.array([other.origin - frame.origin for other in others])
    np.testing.assert_allclose(shifts.std(axis=0), 0.1 * frame.size, rtol=0.1)
    assert np.log([other.size / frame.size for other in others]).std() == pytest.approx(0.05, rel=0.1)
    axes = np.array([Rotation.from_matrix(o.rotation @ frame.rotation.T).as_rotvec() for o in others])
    np.testing.assert_allclose((axes**2).mean(axis=0) / (axes**2).mean(), 1, atol=0.25)  # no direction is preferred
    still = frame.disturbed(rng, rotation_deg=0, shift=0, scale=0)
    assert still.angle_to(frame) == pytest.approx(0, abs=1e-9) and still.size == frame.size
