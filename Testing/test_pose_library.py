"""Registration of the library to a pose: exact, never a reflection, steered by the subset, scored by all landmarks."""

import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.registration import best_rotation
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode
from FetalPoseLib.refinement.online_ssl import label_proxy
from FetalPoseLib.volume.grid import Grid

SUBSET = list(load_skeleton().registration_subset)
FREE = [i for i in range(16) if i not in SUBSET]


def bodies(count, seed=0, spread=5.0):
    """Elongated bodies, all different, each turned and moved at will."""
    rng = np.random.default_rng(seed)
    poses = np.random.default_rng(99).normal(size=(16, 3)) * [8, 10, 30] + rng.normal(size=(count, 16, 3)) * spread
    turns = Rotation.random(count, random_state=seed).as_matrix()
    return poses @ turns.transpose(0, 2, 1) + rng.normal(size=(count, 1, 3)) * 80


def kabsch(source, target, weights):
    """Reference: rotation and translation by scipy, reflections excluded there too."""
    weights = weights / weights.sum()
    centres = weights @ source, weights @ target
    turn, _ = Rotation.align_vectors(target - centres[1], source - centres[0], weights=weights)
    return turn.as_matrix(), centres[1] - turn.apply(centres[0])


def transforms(poses, aligned):
    """Rotations (A, 3, 3), translations (A, 3) and scales (A,) that bring the bodies, none of them flat, there."""
    turns, shifts, scales = [], [], []
    for body, there in zip(poses, aligned, strict=True):
        affine = np.linalg.lstsq(np.c_[body, np.ones(16)], there, rcond=None)[0]
        np.testing.assert_allclose(np.c_[body, np.ones(16)] @ affine, there, atol=1e-7)
        scales.append(np.abs(np.linalg.det(affine[:3])) ** (1 / 3))
        turns.append(affine[:3].T / scales[-1])
        shifts.append(affine[3])
    return np.array(turns), np.array(shifts), np.array(scales)


def test_a_moved_atlas_is_brought_back_exactly():
    poses = bodies(20)
    turn, shift = Rotation.random(random_state=5).as_matrix(), np.array([30.0, -200.0, 11.0])
    result = PoseLibrary(poses).register(poses[7] @ turn.T + shift)
    rotations, translations, scales = transforms(poses, result.aligned)
    np.testing.assert_allclose(rotations[7], turn, atol=1e-10)
    np.testing.assert_allclose(translations[7], shift, atol=1e-8)
    assert result.residual[7] < 1e-16 * 1e4 and np.argmin(result.residual) == 7
    np.testing.assert_allclose(scales, 1, atol=1e-10)


def test_it_is_the_least_squares_solution_over_the_subset():
    poses, pose = bodies(50), bodies(1, seed=3)[0]
    result = PoseLibrary(poses).register(pose)
    rotations, translations, _ = transforms(poses, result.aligned)
    for atlas, rotation, translation in zip(poses, rotations, translations, strict=True):
        expected = kabsch(atlas[SUBSET], pose[SUBSET], np.ones(10))
        np.testing.assert_allclose(rotation, expected[0], atol=1e-7)
        np.testing.assert_allclose(translation, expected[1], atol=1e-4)
    np.testing.assert_allclose(result.residual, ((result.aligned - pose) ** 2).sum(axis=(1, 2)))  # Eq. 1: all sixteen


def test_reflections_are_excluded():
    poses = bodies(30)
    result = PoseLibrary(poses).register(poses[4] * [-1, 1, 1])
    np.testing.assert_allclose(np.linalg.det(transforms(poses, result.aligned)[0]), 1, atol=1e-9)
    assert result.residual[4] > 100  # a reflection would have made it 0


def test_rotations_agree_with_svd_even_where_a_reflection_would_fit_better():
    covariance = np.random.default_rng(1).normal(size=(2000, 3, 3))
    covariance[:500] *= [1, 1, 1e-3]  # nearly flat bodies
    covariance[500:520] = 0
    u, _, vt = np.linalg.svd(covariance.transpose(0, 2, 1))
    sign = np.linalg.det(u @ vt)
    expected = u @ (np.stack([np.ones(2000), np.ones(2000), sign], axis=1)[:, :, None] * vt)
    result = best_rotation(covariance)
    assert (sign < 0).sum() > 500
    np.testing.assert_allclose(np.delete(result - expected, range(500, 520), axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(result @ result.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (2000, 3, 3)), atol=1e-12)


def test_flat_bodies_are_registered():
    flat = bodies(1)[0]
    flat[:, 1] = 0
    turn = Rotation.random(random_state=8).as_matrix()
    result = PoseLibrary(flat[None]).register(flat @ turn.T)
    np.testing.assert_allclose(result.aligned[0], flat @ turn.T, atol=1e-9)


def test_only_the_subset_steers_and_all_landmarks_score():
    poses, pose = bodies(5), bodies(1, seed=4)[0]
    before = PoseLibrary(poses).register(pose)
    pose[FREE[0]] += [0, 0, 50.0]
    after = PoseLibrary(poses).register(pose)
    np.testing.assert_array_equal(after.aligned, before.aligned)
    assert (after.residual != before.residual).all()


def test_unseen_landmarks_neither_steer_nor_score():
    poses = bodies(10)
    pose = poses[2] + 5.0
    pose[[SUBSET[1], SUBSET[6], FREE[2]]] = np.nan
    result = PoseLibrary(poses).register(pose)
    np.testing.assert_allclose(result.aligned[2], poses[2] + 5.0, atol=1e-9)
    seen = np.isfinite(pose).all(axis=1)
    np.testing.assert_allclose(result.residual, ((result.aligned - pose)[:, seen] ** 2).sum(axis=(1, 2)), atol=1e-9)


def test_weights_steer_the_transform():
    poses, pose, weights = bodies(3), bodies(1, seed=6)[0], np.random.default_rng(0).uniform(0.1, 1, 16)
    result = PoseLibrary(poses).register(pose, weights=weights)
    expected = kabsch(poses[1][SUBSET], pose[SUBSET], weights[SUBSET])
    np.testing.assert_allclose(transforms(poses, result.aligned)[0][1], expected[0], atol=1e-7)
    spoilt = poses[0].copy()
    spoilt[SUBSET[3]] += 60
    weights[SUBSET[3]] = 0
    np.testing.assert_allclose(PoseLibrary(poses).register(spoilt, weights=weights).aligned[0], poses[0], atol=1e-9)
    with pytest.raises(ValueError, match="negative"):
        PoseLibrary(poses).register(pose, weights=-weights)


def test_similarity_finds_the_scale():
    poses = bodies(4)
    turn = Rotation.random(random_state=2).as_matrix()
    result = PoseLibrary(poses).register(1.3 * poses[3] @ turn.T - 4, similarity=True)
    rotations, _, scales = transforms(poses, result.aligned)
    assert scales[3] == pytest.approx(1.3) and result.residual[3] < 1e-10
    np.testing.assert_allclose(rotations[3], turn, atol=1e-9)
    rigid = PoseLibrary(poses).register(1.3 * poses[3] @ turn.T - 4)
    np.testing.assert_allclose(transforms(poses, rigid.aligned)[2], 1, atol=1e-10)
    assert rigid.residual[3] > 100


def test_poses_that_leave_the_transform_open_are_refused():
    library, pose = PoseLibrary(bodies(3)), bodies(1)[0]
    few = np.full((16, 3), np.nan)
    few[[SUBSET[0], SUBSET[1], *FREE]] = pose[[SUBSET[0], SUBSET[1], *FREE]]
    with pytest.raises(FetalPoseError, match="3 landmarks of its subset, got 2"):
        library.register(few)
    with pytest.raises(FetalPoseError, match="line"):
        library.register(np.arange(16.0)[:, None] * [1, 2, 3])
    with pytest.raises(FetalPoseError, match="empty"):
        PoseLibrary(np.empty((0, 16, 3))).register(pose)
    with pytest.raises(ValueError, match="shape"):
        library.register(pose[:10])


def test_the_support_set_holds_the_best_in_order():
    poses, pose = bodies(60), bodies(1, seed=9)[0]
    library = PoseLibrary(poses)
    aligned, residual = library.support_set(pose, 10)
    everything = library.register(pose)
    np.testing.assert_array_equal(residual, np.sort(everything.residual)[:10])
    np.testing.assert_allclose(((aligned - pose) ** 2).sum(axis=(1, 2)), residual)
    assert library.support_set(pose, 100)[0].shape == (60, 16, 3)


def test_the_label_proxy_lies_where_the_atlases_agree():
    grid = Grid((40, 44, 48), np.array([[-2.0, 0, 0, 40], [0, 2, 0, -44], [0, 0, 2, -48], [0, 0, 0, 1]]))
    rng = np.random.default_rng(0)
    pose = rng.uniform(-30, 30, (16, 3))
    aligned = pose + np.concatenate([0.5 * np.ones((5, 1, 3)), -0.5 * np.ones((5, 1, 3))])
    aligned[:, 6] += 10 * rng.normal(size=(10, 3))  # they disagree about the spine
    proxy = label_proxy(aligned, grid, 2.0)
    assert proxy.shape == (16, 48, 44, 40)
    found = np.delete(grid.to_world(decode(proxy)[0]), 6, axis=0)
    np.testing.assert_allclose(found, np.delete(pose, 6, axis=0), atol=0.1)
    heights = proxy.amax(dim=(1, 2, 3))
    assert heights[6] < 0.6 * heights[[0, 1, 2]].min()


def test_a_library_survives_its_file(tmp_path):
    library = PoseLibrary(bodies(4), ["a", "b", "c", "dä"], {"made_from": "training subjects", "count": 4})
    library.save(tmp_path / "library.npz")
    again = PoseLibrary.load(tmp_path / "library.npz")
    np.testing.assert_array_equal(again.poses, library.poses)
    assert again.names == library.names and again.meta == library.meta
    longer = again.add(bodies(1)[0], "e")
    assert len(longer) == 5 and longer.names[-1] == "e" and len(again) == 4 and longer.meta == library.meta


def test_files_that_are_no_library_are_refused(tmp_path):
    with pytest.raises(FetalPoseError, match="none.npz"):
        PoseLibrary.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no library", encoding="utf-8")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", poses=np.array([{}], dtype=object))
    np.savez(tmp_path / "foreign.npz", poses=bodies(2))
    for name in ("text.npz", "array.npy", "pickled.npz", "foreign.npz"):
        with pytest.raises(FetalPoseError, match=name):
            PoseLibrary.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", poses=bodies(2), names=["a", "b"], meta="{}", landmarks=["nose"] * 16)
    with pytest.raises(FetalPoseError, match="nose"):
        PoseLibrary.load(tmp_path / "other.npz")


def test_an_incomplete_atlas_is_named():
    poses = bodies(3)
    poses[1, 5] = np.nan
    with pytest.raises(FetalPoseError, match="'b' lacks its left_wrist"):
        PoseLibrary(poses, ["a", "b", "c"])
    with pytest.raises(FetalPoseError, match="16 points"):
        PoseLibrary(poses[:, :10])


def test_ten_thousand_atlases_are_registered_in_time():
    library, pose = PoseLibrary(bodies(10_000)), bodies(1, seed=3)[0]
    seconds = []
    for _ in range(15):
        start = time.thread_time()
        library.support_set(pose)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.04  # some 0.012 s on an idle core; CPU time doubles where two share one
