"""What `reading` makes of a file is what Slicer's own reader makes of it: the same voxels at the same places."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import slicer
from volume_files import metaimage, nifti, nrrd, picture, volume, write_slices

from FetalPoseLib import scene as mrml
from FetalPoseLib.volume.grid import Volume

ARRAY = picture((44, 46, 48))
PACKED = zlib.compress(ARRAY.tobytes())
SHORT = (ARRAY.astype(np.int16) - 100) * 50
LEFT_HANDED = np.diag([-0.8, 0.9, 1.1, 1]) + np.eye(4, k=1) * [[0.1], [0], [7], [0]]
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0], [0.48, 0.64, 0.6]])


def by_slicer(scene, path: Path) -> Volume:
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetSingleFile(not path.is_dir())
    storage.SetFileName(str(sorted(path.iterdir())[0] if path.is_dir() else path))
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        storage.AddFileName(str(file))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert storage.ReadData(node)
    return mrml.volume_from_node(node)


def assert_as_slicer(scene, path: Path):
    theirs, ours = by_slicer(scene, path), mrml.volume_from_node(mrml.read_volume(scene, path))
    assert ours.array.shape == theirs.array.shape
    np.testing.assert_allclose(ours.ijk_to_ras, theirs.ijk_to_ras, atol=2e-4)
    np.testing.assert_allclose(ours.array, theirs.array, rtol=1e-5)


def oblique(factor=1.0) -> np.ndarray:
    return np.column_stack([TURN * [0.8, 0.9, 1.1] * factor, [5.0, -6.0, 7.0]])


CASES = {
    "raw.nrrd": lambda: nrrd(ARRAY, space_directions="(0.8,0.1,0) (-0.1,0.8,0) (0,0,1.2)", space_origin="(1,2,3)"),
    "ras.nrrd": lambda: nrrd(ARRAY, space="right-anterior-superior", space_origin="(1,2,3)"),
    "short.nrrd": lambda: nrrd(SHORT.astype(">i2"), type="short", endian="big"),
    "packed.nrrd": lambda: nrrd(ARRAY, encoding="gzip", payload=gzip.compress(ARRAY.tobytes())),
    "spacings.nrrd": lambda: nrrd(ARRAY, space=None, space_directions=None, spacings="0.8 0.9 1.1"),
    "sheared.nrrd": lambda: nrrd(ARRAY, space_directions="(0.9,0,0) (0.2,0.9,0) (0,0,0.9)"),
    "left_handed.nrrd": lambda: nrrd(ARRAY, space_directions="(-0.9,0,0) (0,0.8,0) (0,0,0.9)", space_origin="(9,8,7)"),
    "list.nrrd": lambda: nrrd(
        ARRAY, dimension="4", sizes="1 48 46 44", kinds="list domain domain domain",
        space_directions="none (0.9,0,0) (0,0.9,0) (0,0,0.9)",
    ),
    "plain.mha": lambda: metaimage(
        ARRAY, TransformMatrix="0 1 0 -1 0 0 0 0 1", Offset="1 2 3", CenterOfRotation="4 5 6",
        ElementSpacing="0.8 0.9 1.1",
    ),
    "packed.mha": lambda: metaimage(ARRAY, CompressedData="True", CompressedDataSize=str(len(PACKED)), payload=PACKED),
    "double.mha": lambda: metaimage(SHORT / 7.0, ElementType="MET_DOUBLE"),
    "four.mha": lambda: metaimage(ARRAY[None]),
    "sform.nii": lambda: nifti(ARRAY, pixdim=(1, 0.8, 0.9, 1.1), sform=oblique()),
    "qform.nii": lambda: nifti(ARRAY, pixdim=(1, 0.8, 0.9, 1.1), qform=(0.1, 0.2, 0.3, 5, 6, 7)),
    "qfac.nii": lambda: nifti(ARRAY, pixdim=(-1, 0.8, 0.9, 1.1), qform=(0.1, 0.2, 0.3, 5, 6, 7)),
    "atlas.nii": lambda: nifti(
        ARRAY, pixdim=(1, 0.8, 0.9, 1.1), sform=oblique(1.3), qform=(0.1, 0.2, 0.3, 5, 6, 7), codes=(1, 4)
    ),
    "scanner.nii": lambda: nifti(ARRAY, pixdim=(1, 0.8, 0.9, 1.1), sform=oblique(), qform=(0.1, 0.2, 0.3, 5, 6, 7)),
    "neither.nii": lambda: nifti(ARRAY),
    "um.nii": lambda: nifti(ARRAY, pixdim=(1, 800, 900, 1100), sform=oblique(1000) * [1, 1, 1, 1000], units=3),
    "scaled.nii": lambda: nifti(SHORT, datatype=(4, 16), sform=oblique() , pixdim=(1, 0.8, 0.9, 1.1), scaling=(0.5, 3)),
    "packed.nii.gz": lambda: gzip.compress(nifti(ARRAY, sform=np.diag([-0.9, -0.9, 0.9, 1])[:3])),
    "big.nii": lambda: nifti(SHORT, datatype=(4, 16), sform=np.diag([-0.9, -0.9, 0.9, 1])[:3], order=">"),
    "four.nii": lambda: nifti(ARRAY, dim=(4, 48, 46, 44, 1), sform=np.diag([-0.9, -0.9, 0.9, 1])[:3]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_header(scene, tmp_path, name):
    (tmp_path / name).write_bytes(CASES[name]())
    assert_as_slicer(scene, tmp_path / name)


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "nii", "nii.gz", "mha", "mhd"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_what_slicer_writes(scene, tmp_path, suffix, kind):
    path = tmp_path / f"a.{suffix}"
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    array = ARRAY.astype(kind) * kind(1.5) - (0 if kind in (np.uint8, np.uint16) else 40)
    assert storage.WriteData(mrml.add_volume(scene, volume(array.astype(kind), LEFT_HANDED)))
    assert_as_slicer(scene, path)
    assert not mrml.doubts_of(mrml.read_volume(scene, path))


def test_slices_of_a_series(scene, tmp_path):
    turn = {"ImageOrientationPatient": [0, 0.6, 0.8, -1, 0, 0]}
    normal = np.cross([0, 0.6, 0.8], [-1, 0, 0])

    def placed(data, k):
        data.ImagePositionPatient = [round(float(x), 6) for x in 0.75 * k * normal + [3, 4, 5]]

    assert_as_slicer(scene, write_slices(tmp_path / "a", ARRAY, placed, spacing=(0.9, 0.8), **turn))
    assert_as_slicer(scene, write_slices(tmp_path / "b", SHORT, RescaleIntercept=-1024, RescaleSlope=1))
    assert_as_slicer(scene, write_slices(tmp_path / "c", ARRAY, PhotometricInterpretation="MONOCHROME1"))
