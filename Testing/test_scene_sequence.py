"""Poses over time as a sequence node and in .seq.mrb, written and read back by MRML itself."""

import zipfile

import numpy as np
import pytest
import slicer
from scene_poses import POINTS

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError

TIMES = np.array([0.0, 0.25, 1.0])
POSES = np.stack([POINTS, POINTS + 5, np.full_like(POINTS, np.nan)])
POSES[1, 4] = np.nan
CONFIDENCE = np.linspace(0.1, 0.9, 48).reshape(3, 16)


@pytest.fixture
def sequence(scene):
    return mrml.pose_sequence(scene, POSES, CONFIDENCE, TIMES, name="fetus", provenance={"Model": "fetal-frame"})


def read(path, folder):
    """A sequence file as Slicer's scene reads it."""
    scene = mrml.new_scene()
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSequenceStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return scene, node


def test_slicer_reads_what_was_written(sequence, tmp_path):
    mrml.save_sequence(sequence, tmp_path / "fetus.seq.mrb")
    scene, node = read(tmp_path / "fetus.seq.mrb", tmp_path / "cache")
    assert node.GetNumberOfDataNodes() == 3 and (node.GetIndexName(), node.GetIndexUnit()) == ("time", "s")
    assert [float(node.GetNthIndexValue(i)) for i in range(3)] == TIMES.tolist()
    for i in range(3):
        pose = node.GetNthDataNode(i)
        assert mrml.is_pose(pose)
        np.testing.assert_allclose(mrml.points_of(pose), POSES[i], atol=1e-3)
    np.testing.assert_allclose(mrml.confidence_of(node.GetNthDataNode(0)), CONFIDENCE[0], atol=0.006)
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_without_times_the_items_are_numbered(scene, tmp_path):
    node = mrml.pose_sequence(scene, POSES, CONFIDENCE, None)
    assert node.GetIndexName() == "frame" and node.GetNthIndexValue(2) == "2"
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_an_existing_file_is_replaced_on_success_only(sequence, tmp_path):
    path = tmp_path / "fetus.seq.mrb"
    path.write_bytes(b"before")
    mrml.save_sequence(sequence, path)
    assert zipfile.is_zipfile(path)
    (tmp_path / "fetus.txt").write_bytes(b"before")
    with pytest.raises(FetalPoseError, match="Cannot write the poses"):  # MRML knows no such kind of file
        mrml.save_sequence(sequence, tmp_path / "fetus.txt")
    assert (tmp_path / "fetus.txt").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fetus.seq.mrb", "fetus.txt"]
