"""The standard planes of a pose against the true ones of simulated bodies; what turns and moves with the fetus."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.parts import head, visible
from FetalPoseLib.body.planes import KINDS, planes_left_out, standard_planes
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.standard_planes import true_planes

SKELETON = load_skeleton()
BONES = [name for name in KINDS if name.endswith(("femur", "humerus"))]


@pytest.fixture(scope="module")
def bodies():
    """Bodies that no constant was fitted to."""
    drawn = (np.random.default_rng([23, k]) for k in range(60))
    return [pose_body(rng, draw_biometry(rng)) for rng in drawn]


@pytest.fixture
def pose(bodies):
    return bodies[0].landmarks


def by_name(points):
    return {plane.name: plane for plane in standard_planes(points)}


def without(points, *names):
    points = points.copy()
    points[[SKELETON.index(name) for name in names]] = np.nan
    return points


def errors(bodies, name):
    """Angles in degrees and offsets in mm from the true planes, each (N,)."""
    found = []
    for body in bodies:
        truth, plane = true_planes(body)[name], by_name(body.landmarks)[name]
        found.append((truth.angle_to(plane.normal), truth.offset_from(plane.origin, plane.normal)))
    return np.transpose(found)


# where they lie


@pytest.mark.parametrize("name", ["mid_sagittal", "head_transverse", "abdomen_transverse"])
def test_planes_of_true_landmarks_are_the_anatomical_ones(bodies, name):
    angle, offset = errors(bodies, name)
    assert np.median(angle) < 5.0 and np.quantile(angle, 0.9) < 13.0
    assert np.median(offset) < 0.7 and offset.max() < 1.5


def test_the_face_is_found_as_far_as_landmarks_tell_it(bodies):
    """How far the head is turned about its own long axis is in no landmark; bodies turn it by 18 degrees (SD)."""
    angle, offset = errors(bodies, "face_coronal")
    turned = [np.degrees(np.arcsin(abs(body.head[:, 1] @ body.thorax[:, 0]))) for body in bodies]
    assert np.median(angle) < 18.0 and np.median(offset) < 1.0
    assert np.corrcoef(angle, turned)[0, 1] > 0.7


def test_a_heads_turn_that_is_known_mends_the_face(bodies):
    left, angles = [], []
    for body in bodies:
        straight = head(visible(body.landmarks))
        forward = straight.T @ body.head[:, 1]
        turn = np.degrees(np.arctan2(-forward[0], forward[1]))
        planes = {plane.name: plane for plane in standard_planes(body.landmarks, head_turn_deg=turn)}
        angles.append(true_planes(body)["face_coronal"].angle_to(planes["face_coronal"].normal))
        left.append(turn * (body.thorax[:, 0] @ body.head[:, 1]) < 0)
        np.testing.assert_allclose(
            planes["head_transverse"].normal, by_name(body.landmarks)["head_transverse"].normal, atol=1e-12
        )
    assert np.median(angles) < 5.0 and np.mean(left) > 0.8  # a positive turn is one to the fetus's left


@pytest.mark.parametrize("name", BONES)
def test_a_long_bones_plane_holds_the_bone(bodies, name):
    angle, offset = errors(bodies, name)
    assert angle.max() < 1e-4 and offset.max() < 1e-6


def test_the_abdomens_plane_cuts_the_stomach_and_spares_the_kidneys(bodies):
    for body in bodies:
        plane = by_name(body.landmarks)["abdomen_transverse"]
        trunk, t12 = body.biometry.trunk, body.vertebrae[7]
        above = t12[0] + 0.09 * trunk * t12[1][:, 2], t12[0] - 0.09 * trunk * t12[1][:, 2]  # stomach, kidneys
        stomach, kidneys = (abs((point - plane.origin) @ plane.normal) for point in above)
        assert stomach < 0.08 * trunk < kidneys


# on the screen


def test_axes_are_right_handed_and_orthonormal(bodies):
    for body in bodies:
        for plane in standard_planes(body.landmarks):
            assert plane.axes.T @ plane.axes == pytest.approx(np.eye(3), abs=1e-9)
            assert np.linalg.det(plane.axes) == pytest.approx(1)
            assert min(plane.extent_mm) > 0 and np.isfinite(plane.origin).all()


def test_the_profile_lies_with_the_head_left_and_the_face_up(bodies):
    for body in bodies:
        plane = by_name(body.landmarks)["mid_sagittal"]
        head, sacrum = plane.to_plane(body.landmarks[[0, 7]])
        assert head[0] < 0 < sacrum[0] and plane.sides == ("head", "feet", "front", "back")
        assert plane.normal @ body.thorax[:, 0] > 0.7  # seen from the fetus's right
        assert plane.axes[:, 1] @ body.thorax[:, 1] > 0


def test_transverse_planes_are_seen_from_the_feet(bodies):
    for body in bodies:
        planes = by_name(body.landmarks)
        assert planes["head_transverse"].normal @ body.head[:, 2] < -0.9
        assert planes["abdomen_transverse"].normal @ body.vertebrae[7][1][:, 2] < -0.9
        right = planes["abdomen_transverse"].to_plane(body.bones["right_upper_arm"].start)
        assert right[0] < 0  # as in every axial picture, the fetus's right is at the screen's left
        assert planes["abdomen_transverse"].axes[:, 1] @ body.vertebrae[7][1][:, 1] > 0.9


def test_the_face_looks_at_the_viewer(bodies):
    for body in bodies:
        plane = by_name(body.landmarks)["face_coronal"]
        assert plane.normal @ body.head[:, 1] > 0.3 and plane.axes[:, 1] @ body.head[:, 2] > 0.85


@pytest.mark.parametrize("name", BONES)
def test_bones_lie_across_and_the_bone_beyond_hangs_down(bodies, name):
    side, bone = name.split("_")
    joints = ("hip", "knee", "ankle") if bone == "femur" else ("shoulder", "elbow", "wrist")
    rows = [SKELETON.index(f"{side}_{joint}") for joint in joints]
    for body in bodies:
        near, far, beyond = by_name(body.landmarks)[name].to_plane(body.landmarks[rows])
        assert near[0] < 0 < far[0] and near[1:] == pytest.approx([0, 0], abs=1e-6)
        bend = np.linalg.norm(np.cross(far - near, beyond - far))
        if bend > np.sin(np.radians(13)) * np.linalg.norm(far - near) * np.linalg.norm(beyond - far):
            assert beyond[1] < 0 and beyond[2] == pytest.approx(0, abs=1e-6)


def test_pictures_hold_what_they_are_for(bodies):
    for body in bodies:
        planes = by_name(body.landmarks)
        for name, points in (
            ("mid_sagittal", body.landmarks[[0, 2, 6, 7]]),
            ("head_transverse", body.landmarks[:1] + 0.5 * body.biometry.ofd * body.head[:, 1]),
            ("abdomen_transverse", body.landmarks[[6]]),
        ):
            inside = np.abs(planes[name].to_plane(points)[:, :2]) < 0.5 * np.array(planes[name].extent_mm)
            assert inside.all(), name


def test_a_plane_moves_towards_the_viewer(pose):
    plane = by_name(pose)["mid_sagittal"]
    moved = plane.moved(2.0)
    assert moved.to_plane(plane.origin) == pytest.approx([0, 0, -2.0])
    assert moved.name == plane.name and (moved.axes == plane.axes).all()
    assert plane.matrix @ [1, 2, 3, 1] == pytest.approx([*(plane.origin + plane.axes @ [1, 2, 3]), 1])


# what must not change them


def test_planes_move_with_the_fetus(pose):
    for seed in range(5):
        turn, shift = Rotation.random(rng=np.random.default_rng(seed)).as_matrix(), np.array([30.0, -80.0, 7.0])
        before, after = by_name(pose), by_name(pose @ turn.T + shift)
        for name, plane in before.items():
            assert after[name].origin == pytest.approx(turn @ plane.origin + shift, abs=1e-6)
            assert after[name].axes == pytest.approx(turn @ plane.axes, abs=1e-6)
            assert after[name].extent_mm == pytest.approx(plane.extent_mm)


def test_planes_grow_with_the_fetus(pose):
    before, after = by_name(pose), by_name(1.7 * pose)
    for name, plane in before.items():
        assert after[name].origin == pytest.approx(1.7 * plane.origin, abs=1e-6)
        assert after[name].axes == pytest.approx(plane.axes, abs=1e-9)
        assert after[name].extent_mm == pytest.approx(1.7 * np.array(plane.extent_mm))


def test_a_mirrored_fetus_has_mirrored_planes(bodies):
    """With its names on the other side: the same cuts, and sides exchanged."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    for body in bodies[:10]:
        before = by_name(body.landmarks)
        after = by_name((body.landmarks @ mirror)[SKELETON.mirror])
        for name, plane in before.items():
            other = name.replace("right", "LEFT").replace("left", "right").replace("LEFT", "left")
            mirrored = after[other]
            assert abs(mirrored.normal @ mirror @ plane.normal) == pytest.approx(1, abs=1e-6)
            assert mirrored.origin == pytest.approx(mirror @ plane.origin, abs=1e-6)


# what is not visible


def test_a_whole_pose_gives_all_planes(pose):
    assert tuple(by_name(pose)) == tuple(KINDS) and planes_left_out(pose) == ()


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        (("head",), {"mid_sagittal", "head_transverse", "face_coronal"}),
        (("sacrum",), {"mid_sagittal", "abdomen_transverse"}),
        (("left_knee",), {"left_femur"}),
        (("right_wrist", "left_ankle"), set()),
        (("right_shoulder",), {"right_humerus"}),
        (("right_shoulder", "left_hip"), {*list(KINDS)[:4], "right_humerus", "left_femur"}),
    ],
)
def test_a_plane_without_its_landmarks_is_left_out_with_the_reason(pose, missing, gone):
    points = without(pose, *missing)
    left_out = {entry.name: entry for entry in planes_left_out(points)}
    assert set(left_out) == gone and set(by_name(points)) == set(KINDS) - gone
    for entry in left_out.values():
        assert set(entry.missing) <= {*missing, "right_shoulder", "left_shoulder"} and entry.missing
        assert "not visible" in entry.reason and entry.missing[0] in entry.reason


def test_no_landmark_gives_no_plane():
    points = np.full((16, 3), np.nan)
    assert standard_planes(points) == () and len(planes_left_out(points)) == len(KINDS)


def test_landmarks_that_coincide_give_a_reason_and_no_nonsense(pose):
    left_out = planes_left_out(np.zeros((16, 3)))
    assert len(left_out) == len(KINDS) and not any(entry.missing for entry in left_out)
    assert "coincide or lie on a line" in left_out[0].reason
    points = pose.copy()
    points[SKELETON.index("left_knee")] = points[SKELETON.index("left_hip")]
    assert [entry.name for entry in planes_left_out(points)] == ["left_femur"]


def test_a_straight_limb_is_seen_from_the_side_of_the_fetus(pose):
    points = pose.copy()
    hip, knee, ankle = (SKELETON.index(f"right_{joint}") for joint in ("hip", "knee", "ankle"))
    points[ankle] = points[knee] + (points[knee] - points[hip])
    plane = by_name(points)["right_femur"]
    assert plane.to_plane(points[[hip, knee, ankle]])[:, 1:] == pytest.approx(np.zeros((3, 2)), abs=1e-6)
    alone = without(points, "neck", "right_shoulder")
    assert "right_femur" in {entry.name for entry in planes_left_out(alone)}


def test_a_pose_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        standard_planes(np.zeros((22, 3)))
