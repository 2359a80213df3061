"""What a file leaves open reaches the node, whoever has loaded it, and the command line."""

import numpy as np
import pytest
import slicer
from volume_files import metaimage, nifti, nrrd, picture, volume, write_slices

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import SENTENCES, Doubt
from FetalPoseLib.scene.volume_file import read_volume

ARRAY = picture((44, 46, 48))


def loaded_by_slicer(scene, path):
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    storage.SetSingleFile(len(files) == 1)
    storage.SetFileName(str(files[0]))
    for file in files if len(files) > 1 else ():
        storage.AddFileName(str(file))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert storage.ReadData(node)
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def codes(node) -> list[str]:
    return [doubt.code for doubt in mrml.doubts_of(node)]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.mha", metaimage(ARRAY, ElementSpacing="0.9 0.9 1"), ["one_mm"]),
        ("a.mha", metaimage(ARRAY, AnatomicalOrientation="LAI"), ["orientation"]),
        ("a.nrrd", nrrd(ARRAY, space=None, space_directions=None, spacings="0.9 0.9 0.9"), ["orientation"]),
        ("a.nrrd", nrrd(ARRAY), []),
        ("a.nii", nifti(ARRAY), ["orientation"]),
    ],
)
def test_doubts_are_the_same_whoever_has_loaded_the_file(scene, tmp_path, name, data, expected):
    (tmp_path / name).write_bytes(data)
    assert codes(mrml.read_volume(scene, tmp_path / name)) == expected
    assert codes(loaded_by_slicer(scene, tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mha", metaimage(ARRAY, ElementSpacing=None), "states no voxel spacing"),
        ("a.nii", nifti(ARRAY, pixdim=(1, -0.9, 0.9, 0.9), sform=np.diag([-0.9, -0.9, 0.9, 1])[:3]), "negative size"),
        ("a.mha", metaimage(ARRAY, **{f"Seq_Frame{k:04d}_Timestamp": str(k) for k in range(44)}), "moving probe"),
        ("a.nrrd", nrrd(ARRAY, space="3D-left-handed"), "which side is left"),
    ],
)
def test_what_slicer_has_guessed_is_refused_until_a_person_sets_it(scene, tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    node = loaded_by_slicer(scene, tmp_path / name)
    with pytest.raises(FetalPoseError, match=message) as error:
        mrml.volume_from_node(node)
    assert "set it in Slicer's module Volumes" in str(error.value)
    node.SetSpacing(0.8, 0.8, 0.8)
    np.testing.assert_allclose(mrml.volume_from_node(node).grid.spacing, 0.8)


def test_a_series_that_slicer_has_loaded_must_state_its_spacing(scene, tmp_path):
    good = loaded_by_slicer(scene, write_slices(tmp_path / "a", ARRAY))
    assert mrml.volume_from_node(good).array.shape == ARRAY.shape and not codes(good)
    with pytest.raises(FetalPoseError, match=r"b/.* cannot be read as a volume\. It states no spacing of its pixels"):
        mrml.volume_from_node(loaded_by_slicer(scene, write_slices(tmp_path / "b", ARRAY, PixelSpacing=None)))


def test_a_node_whose_file_is_gone_or_of_another_program_is_taken_as_it_is(scene, tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(ARRAY))
    node = loaded_by_slicer(scene, tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_bytes(b"something else")
    assert mrml.volume_from_node(node).array.shape == ARRAY.shape and not codes(node)
    (tmp_path / "a.nrrd").unlink()
    assert mrml.volume_from_node(node).array.shape == ARRAY.shape and not codes(node)


def test_one_axis_of_a_millimetre_is_doubtful_without_a_file_too(scene):
    assert codes(mrml.add_volume(scene, volume(ARRAY, np.diag([0.5, 0.5, 1, 1])))) == ["one_mm"]
    assert not codes(mrml.add_volume(scene, volume(ARRAY, np.diag([1, 1, 1, 1]))))
    assert not codes(mrml.add_volume(scene, volume(ARRAY, np.diag([0.5, 0.6, 0.7, 1]))))


@pytest.mark.parametrize("text", ["[", "{}", '[["unheard of", "x"]]', "[1, 2]", "null"])
def test_an_attribute_of_another_program_is_passed_over(scene, text):
    node = mrml.add_volume(scene, volume(ARRAY))
    node.SetAttribute("FetalPose.Doubts", text)
    assert mrml.doubts_of(node) == ()


def test_programs_are_warned(tmp_path):
    (tmp_path / "a.mha").write_bytes(metaimage(ARRAY, ElementSpacing="0.9 0.9 1"))
    with pytest.warns(UserWarning, match="exactly 1 mm"):
        read_volume(tmp_path / "a.mha")


def test_every_doubt_says_what_to_compare():
    for code in SENTENCES:
        sentence = Doubt(code, "VALUE").sentence
        assert sentence.endswith((".", "whole.")) and "{" not in sentence


def test_frames_over_time_are_chosen_by_number(scene, tmp_path):
    two = np.stack([ARRAY, picture(ARRAY.shape, seed=1)])
    (tmp_path / "a.nii").write_bytes(nifti(two, sform=np.diag([-0.9, -0.9, 0.9, 1])[:3]))
    with pytest.raises(FetalPoseError, match="Choose one, from 1 to 2"):
        mrml.read_volume(scene, tmp_path / "a.nii")
    for frame in (1, 2):
        array = mrml.volume_from_node(mrml.read_volume(scene, tmp_path / "a.nii", frame=frame)).array
        np.testing.assert_array_equal(array, two[frame - 1])
    with pytest.raises(FetalPoseError, match="no number 3"):
        mrml.read_volume(scene, tmp_path / "a.nii", frame=3)
