"""Corrected poses as a training set: what the files hold and do not hold, and what the person is told."""

import numpy as np
import pytest
import slicer.util
from training.training_cases import LANDMARKS, SIDE, SKELETON, anisotropic_left_handed, paint

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.scene.doubtful import keep_doubts
from FetalPoseLib.session import training_set
from FetalPoseLib.session.training_set import add_to_training_set
from FetalPoseLib.training.folders import find_pairs
from FetalPoseLib.volume.grid import Volume, mirror_matrix, transform_points

SHAPE = tuple(int(1.5 * SIDE / step) for step in (1.3, 2.0, 1.5))


@pytest.fixture
def volume(scene):
    matrix = anisotropic_left_handed(SHAPE)
    return mrml.add_volume(scene, Volume(paint(SHAPE, matrix), matrix), "Jane Doe 1970-01-01")


@pytest.fixture
def pose(scene):
    node = mrml.create_pose(scene, "Jane Doe pose")
    mrml.set_estimate(node, LANDMARKS, np.full(16, 0.9), provenance={"Source": "/clinic/Jane Doe/a.vol"})
    return node


def read(folder):
    (pair,) = find_pairs(folder)
    return pair.read()


def test_a_pair_trains_as_it_is_shown_and_holds_nothing_of_the_patient(volume, pose, tmp_path):
    pose.SetNthControlPointPositionMissing(SKELETON.index("left_wrist"))
    added = add_to_training_set(pose, volume, tmp_path / "new" / "set")
    assert sorted(path.name for path in (tmp_path / "new" / "set").iterdir() if path.name != ".lock") == [
        "case0001.mrk.json", "case0001.nrrd",
    ]  # fmt: skip
    image, points = read(tmp_path / "new" / "set")
    shown = mrml.volume_from_node(volume)
    expected = LANDMARKS.copy()
    expected[SKELETON.index("left_wrist")] = np.nan
    np.testing.assert_allclose(points, expected, atol=1e-4)
    for corner in ((0, 0, 0), (3, 5, 7), (20, 30, 10)):  # the same grey at the same place, whatever the axes' order
        place = shown.grid.to_world(np.array(corner, float))
        other = tuple(np.round(image.grid.to_voxel(place)).astype(int)[::-1])
        assert image.array[other] == shown.array[corner[::-1]]
    assert added.count == 1 and len(added.unchecked) == 15
    for path in (tmp_path / "new" / "set").iterdir():
        content = path.read_bytes()
        for word in (b"Jane", b"Doe", b"1970", b"clinic"):
            assert word not in content, path


def test_transforms_are_applied_and_a_mirrored_volume_is_written_as_it_should_be(scene, volume, pose, tmp_path):
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]], [5, 6, 7]
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    for node in (volume, pose):
        node.SetAndObserveTransformNodeID(transform.GetID())
    add_to_training_set(pose, volume, tmp_path / "moved")
    np.testing.assert_allclose(read(tmp_path / "moved")[1], transform_points(moved, LANDMARKS), atol=1e-4)
    mirror = mirror_matrix(mrml.volume_from_node(volume))
    add_to_training_set(pose, volume, tmp_path / "mirrored", mirrored=True)
    image, points = read(tmp_path / "mirrored")
    np.testing.assert_allclose(points, transform_points(mirror @ moved, LANDMARKS), atol=1e-4)
    voxel = np.round(image.grid.to_voxel(points[0])).astype(int)
    assert image.array[tuple(voxel[::-1])] > 90, "the head's blob moved with its landmark"


def test_numbers_go_on_and_nothing_is_overwritten(scene, volume, pose, tmp_path):
    (tmp_path / "case0007.mrk.json").write_text("mine")
    (tmp_path / "note.txt").write_text("mine")
    assert add_to_training_set(pose, volume, tmp_path).stem == "case0008"
    image = mrml.volume_from_node(volume)
    other = mrml.add_volume(scene, Volume(image.array + 1, image.ijk_to_ras), "other")
    added = add_to_training_set(pose, other, tmp_path)
    assert (added.stem, added.count) == ("case0009", 2)
    assert (tmp_path / "case0007.mrk.json").read_text() == "mine"


def test_the_person_is_told_what_nobody_looked_at_and_what_the_file_leaves_open(volume, pose, tmp_path):
    keep_doubts(volume, (Doubt("sides", "as Slicer reads it"),))
    for name in SKELETON.landmarks[2:]:
        i = pose.GetControlPointIndexByLabel(name)
        pose.SetNthControlPointPosition(i, *(LANDMARKS[SKELETON.index(name)] + 0.5))
    added = add_to_training_set(pose, volume, tmp_path)
    assert added.unchecked == SKELETON.landmarks[:2]
    message = added.message()
    assert "case0001" in message and "Nobody has placed head, right shoulder" in message
    assert "Left and right are not confirmed" in message


def test_the_same_volume_does_not_go_in_twice(volume, pose, tmp_path):
    add_to_training_set(pose, volume, tmp_path)
    pose.SetNthControlPointPosition(0, *(LANDMARKS[0] + 1))
    with pytest.raises(FetalPoseError, match="in the training set already, as case0001.nrrd"):
        add_to_training_set(pose, volume, tmp_path)
    assert not list(tmp_path.glob("case0002*"))


def test_a_pair_is_written_whole_or_not_at_all(volume, pose, tmp_path, monkeypatch):
    def fail(node, path):
        path.write_text("{")
        raise FetalPoseError("The disk is full.")

    monkeypatch.setattr(training_set.mrml, "save_pose", fail)
    with pytest.raises(FetalPoseError, match="disk is full"):
        add_to_training_set(pose, volume, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_a_pair_is_a_message(scene, volume, pose, tmp_path):
    with pytest.raises(FetalPoseError, match="Choose the volume that the pose belongs to first"):
        add_to_training_set(pose, None, tmp_path)
    far = mrml.create_pose(scene)
    mrml.set_estimate(far, LANDMARKS + 500)
    with pytest.raises(FetalPoseError, match="Most landmarks lie outside the volume 'Jane Doe"):
        add_to_training_set(far, volume, tmp_path)
    with pytest.raises(FetalPoseError, match="Most landmarks lie outside"):
        add_to_training_set(mrml.create_pose(scene), volume, tmp_path)  # none is placed
    (tmp_path / "file").write_text("")
    with pytest.raises(FetalPoseError, match="cannot be made"):
        add_to_training_set(pose, volume, tmp_path / "file" / "set")
    assert not list(tmp_path.glob("case*"))
