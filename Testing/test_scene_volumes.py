"""Volumes on real MRML: files in, geometry kept, and what cannot be read refused."""

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from volume_files import (
    oblique_left_handed,
    picture,
    volume,
    write_dicom,
    write_nifti,
    write_nrrd,
)

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError

# --- volumes


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_volume_keeps_its_voxels_and_place_through_a_file(scene, tmp_path, suffix):
    original = volume(matrix=oblique_left_handed())
    mrml.write_volume(mrml.add_volume(scene, original), tmp_path / f"case{suffix}")
    read = mrml.volume_from_node(mrml.read_volume(scene, tmp_path / f"case{suffix}"))
    voxels = np.random.default_rng(0).integers(0, original.array.shape[::-1], (200, 3))
    there = read.grid.to_voxel(original.grid.to_world(voxels))  # MRML reads a left-handed volume as a right-handed one
    np.testing.assert_allclose(there, np.round(there), atol=1e-3)
    x, y, z = np.round(there).astype(int).T
    np.testing.assert_array_equal(read.array[z, y, x], original.array[voxels[:, 2], voxels[:, 1], voxels[:, 0]])


def test_dicom_slices_are_stacked_by_position_not_by_name(scene, tmp_path):
    array = picture()
    names = [f"im{(7 * k) % len(array):03d}" for k in range(len(array))]
    folder = write_dicom(tmp_path / "series", array, names=names, spacing=(0.8, 0.9, 1.1))
    (folder / "notes.txt").write_text("no image")
    read = mrml.volume_from_node(mrml.read_volume(scene, folder))
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.ijk_to_ras, np.diag([-0.8, -0.9, 1.1, 1]), atol=1e-6)


def test_dicom_folder_with_a_gap_two_series_or_two_frames_is_refused(scene, tmp_path):
    array = picture()
    gap = write_dicom(tmp_path / "gap", array)
    (gap / "005.dcm").unlink()
    with pytest.raises(FetalPoseError, match="missing"):
        mrml.read_volume(scene, gap)
    two = write_dicom(tmp_path / "two", array)
    write_dicom(two, array[:3], names=["a", "b", "c"], series="1.2.3.5")
    with pytest.raises(FetalPoseError, match="2 DICOM series"):
        mrml.read_volume(scene, two)
    frames = write_dicom(tmp_path / "frames", array)
    write_dicom(frames, array, names=[f"second{k}" for k in range(len(array))])
    with pytest.raises(FetalPoseError, match="4D"):
        mrml.read_volume(scene, frames)


def test_linear_parent_transforms_move_the_volume(scene):
    node = mrml.add_volume(scene, volume(matrix=oblique_left_handed()))
    to_world = np.eye(4)
    for shift in (5.0, 7.0):
        matrix = np.array([[0, -1, 0, shift], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], dtype=float)
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        child = node if shift == 5.0 else node.GetParentTransformNode()
        child.SetAndObserveTransformNodeID(transform.GetID())
        to_world = matrix @ to_world
    np.testing.assert_allclose(mrml.volume_from_node(node).ijk_to_ras, to_world @ oblique_left_handed(), atol=1e-9)


def test_non_linear_parent_transform_is_refused(scene):
    node = mrml.add_volume(scene, volume())
    points = vtk.vtkPoints()
    for corner in np.eye(4, 3):
        points.InsertNextPoint(corner)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(points)
    spline.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(FetalPoseError, match="non-linear transform 'Warp'"):
        mrml.volume_from_node(node)


@pytest.mark.parametrize(
    ("array", "spacing", "message"),
    [
        (picture((1, 40, 40)), 1, "2D"),
        (np.full((32, 32, 32), 7, np.uint8), 1, "constant: every voxel is 7"),
        (np.full((32, 32, 32), np.nan, np.float32), 1, "no finite value"),
        (picture(), 0.001, "voxel spacing of 0.001"),
        (picture(), 50, "voxel spacing of 50"),
        (picture((12, 40, 40)), 1, "40 x 40 x 12 mm"),
        (picture((70, 70, 70)), 9, "630"),
    ],
)
def test_volume_without_a_measurable_picture_is_refused(scene, array, spacing, message):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(spacing, spacing, spacing)
    with pytest.raises(FetalPoseError, match=message):
        mrml.volume_from_node(node)


def test_node_that_is_no_greyscale_volume_is_refused(scene):
    label_map = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(label_map, picture())
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    slicer.util.updateVolumeFromArray(colour, np.stack([picture()] * 3, axis=-1))
    for node, message in [
        (None, "nothing"),
        (scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), "Segmentation"),
        (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"), "is empty"),
        (label_map, "label map"),
        (colour, "3 values per voxel"),
    ]:
        with pytest.raises(FetalPoseError, match=message):
            mrml.volume_from_node(node)


def test_some_nan_voxels_are_no_obstacle(scene):
    array = picture().astype(np.float32)
    array[:3] = np.nan
    assert mrml.volume_from_node(mrml.add_volume(scene, volume(array))).array.shape == array.shape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["dimension: 3", "sizes: 40 36 32", "spacings: 0 1 1"], "impossible voxel spacing of 0 x 1 x 1"),
        (["dimension: 3", "sizes: 40 36 32", "spacings: nan nan nan"], "impossible"),
        (["dimension: 3", "sizes: 40 36 32", "spacings: -1 1 1"], "impossible"),
        (["dimension: 3", "sizes: 40 36 32"], "states no voxel spacing"),
        (
            ["dimension: 3", "space: left-posterior-superior", "sizes: 40 36 32"]
            + ["space directions: (0,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)"],
            "impossible",
        ),
        (["dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1", "Segment0_ID:=a"], "segmentation"),
        (["dimension: 3", "sizes: 40 36 99", "spacings: 1 1 1"], "damaged"),
    ],
)
def test_nrrd_whose_header_cannot_be_true_is_refused(scene, tmp_path, fields, message):
    path = write_nrrd(tmp_path / "bad.nrrd", picture(), *fields)
    with pytest.raises(FetalPoseError, match=message):
        mrml.read_volume(scene, path)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_nifti_without_spacing_or_data_is_refused(scene, tmp_path):
    with pytest.raises(FetalPoseError, match="impossible"):
        mrml.read_volume(scene, write_nifti(tmp_path / "zero.nii", picture(), spacing=(1, 0, 1)))
    with pytest.raises(FetalPoseError, match="damaged"):
        mrml.read_volume(scene, write_nifti(tmp_path / "cut.nii", picture(), missing=1000))
    mrml.write_volume(mrml.add_volume(scene, volume()), tmp_path / "good.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "good.nii.gz").read_bytes()[:5000])
    with pytest.raises(FetalPoseError, match="damaged"):
        mrml.read_volume(scene, tmp_path / "cut.nii.gz")
    good = mrml.volume_from_node(mrml.read_volume(scene, write_nifti(tmp_path / "good.nii", picture())))
    np.testing.assert_array_equal(good.array, picture())
