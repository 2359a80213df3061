"""Volumes: from files to scalar volume nodes, and from a node to the array and matrix that the network takes."""

from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.reading.kretz_folder import kretz_in
from FetalPoseLib.reading.kretz_wrappers import is_kretz
from FetalPoseLib.reading.names import plain
from FetalPoseLib.reading.read import check_exists, read
from FetalPoseLib.scene.decoding import decode_dicom
from FetalPoseLib.scene.doubtful import check_stated, keep_doubts
from FetalPoseLib.scene.kretz import keep_samples, read_kretz_volume, samples_of
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

SPACING_MM = (0.02, 10.0)  # a probe at 50 MHz resolves 0.03 mm; 10 mm is a fetal head in two voxels
EXTENT_MM = (30.0, 400.0)  # the width of a sac at 10 weeks; the depth and width that an abdominal probe reaches


def new_scene():
    """A vtkMRMLScene outside the application, which knows how to store markups."""
    scene = slicer.vtkMRMLScene()
    scene.RegisterNodeClass(slicer.vtkMRMLMarkupsJsonStorageNode())
    return scene


def silence_log() -> None:
    """Keep MRML's log from standard error: what matters of it reaches the user as a FetalPoseError."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)


def read_volume(scene, path: str | Path, *, frame: int | None = None):
    """Read NRRD, NIfTI, MetaImage, GE Kretz or DICOM (a file, or a folder with one series) into a new
    vtkMRMLScalarVolumeNode.

    ``frame`` chooses a volume, from 1, in a file that holds several over time. What the file leaves open stays on the
    node, see `doubtful.doubts_of`.

    Raises
    ------
    FetalPoseError
        The file is missing, damaged, states no voxel spacing, or holds something else than one 3D scalar image.
    """
    path = Path(path)
    check_exists(path)
    kretz = kretz_in(path) if path.is_dir() else path if is_kretz(path) else None
    if kretz is not None:
        volume, reading = read_kretz_volume(kretz, frame)
    else:
        reading = read(path, frame=frame, decode=decode_dicom)
        assert isinstance(reading.volume, Volume), "only Kretz files lie in the probe's coordinates"
        volume = reading.volume
    node = add_volume(scene, right_handed(volume), plain(path.name.split(".")[0]) or "Volume")
    keep_doubts(node, reading.doubts)
    if isinstance(reading.volume, ProbeVolume):
        assert kretz is not None
        keep_samples(node, kretz, frame, reading.volume)
    if kretz is None:
        _keep_file_name(node, path)  # Slicer reads none of Kretz's: their voxels are saved with the scene
    return node


def volume_from_node(node) -> Volume:
    """The voxels of a scalar volume node, not copied, and their place in the world.

    Spacing, directions, handedness and linear parent transforms are all in `ijk_to_ras`.

    Raises
    ------
    FetalPoseError
        Not one 3D scalar image: a label map, a segmentation, a colour image, a 2D image, no image at all; a
        non-linear parent transform; a constant image or one without a finite value; a voxel spacing or an extent that
        no ultrasound volume has, or that Slicer has put in for one that the node's file does not state.
    """
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        kind = "nothing" if node is None else node.GetNodeTagName()
        raise FetalPoseError("Expected a scalar volume, got {kind}. Choose a 3D ultrasound volume.", kind=kind)
    name, image = node.GetName(), node.GetImageData()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise FetalPoseError("The volume '{name}' is a label map. Choose the ultrasound volume itself.", name=name)
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise FetalPoseError("The volume '{name}' is empty. Load an ultrasound volume into it.", name=name)
    if image.GetNumberOfScalarComponents() != 1:
        raise FetalPoseError(
            "The volume '{name}' has {channels} values per voxel (colour). Choose a greyscale volume.",
            name=name,
            channels=image.GetNumberOfScalarComponents(),
        )
    check_stated(node)
    matrix = _ijk_to_world(node, name)
    _check_size(np.array(image.GetDimensions()), np.linalg.norm(matrix[:3, :3], axis=0), name)
    array = slicer.util.arrayFromVolume(node)
    _check_values(array, name)
    return Volume(array, matrix)


def recorded_volume(node) -> Volume | ProbeVolume:
    """What the network is to read: the probe's own samples where a node shows them, else its voxels.

    So a scan conversion is not resampled a second time. Raises as `volume_from_node`.
    """
    shown = volume_from_node(node)
    samples = samples_of(node)
    return shown if samples is None else samples


def right_handed(volume: Volume) -> Volume:
    """The same volume with its slices in the other order if its axes are left-handed, as Slicer's own readers do."""
    matrix = volume.ijk_to_ras
    if np.linalg.det(matrix[:3, :3]) > 0:
        return volume
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = volume.array.shape[0] - 1
    return Volume(volume.array[::-1], matrix @ flip)


def add_volume(scene, volume: Volume, name: str = "Volume"):
    """A new vtkMRMLScalarVolumeNode that holds a `Volume`."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(volume.array))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(volume.ijk_to_ras)))
    return node


def write_volume(node, path: str | Path) -> None:
    """Write a volume node to .nrrd, .nii.gz or .mha; a file that was there is replaced only on success.

    Raises
    ------
    FetalPoseError
        The file cannot be written, or does not hold every voxel.
    """
    with replacing(path) as temporary:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise FetalPoseError(f"Cannot write the volume {path}. Choose a name ending in .nrrd, .nii.gz or .mha.")
        if not _holds(temporary, slicer.util.arrayFromVolume(node)):
            raise FetalPoseError(
                f"The volume {path} was not stored in full; the former file is kept. Is the disk full?"
            )


def _holds(path: Path, array: np.ndarray) -> bool:
    """Whether the file holds these voxels: the writers of ITK do not notice a full disk."""
    try:
        return np.array_equal(read(path).volume.array, array, equal_nan=array.dtype.kind == "f")
    except FetalPoseError:
        return False


def _ijk_to_world(node, name: str) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise FetalPoseError(
                "The volume '{name}' is under the non-linear transform '{transform}', which bends lengths. "
                "Take it out of the transform, or harden it.",
                name=name,
                transform=transform.GetName(),
            )
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        vtk.vtkMatrix4x4.Multiply4x4(to_world, matrix, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _check_size(dimensions: np.ndarray, spacing: np.ndarray, name: str) -> None:
    if dimensions.min() < 2:
        raise FetalPoseError(
            "The volume '{name}' is 2D ({voxels} voxels). Choose a 3D volume, or the whole series.",
            name=name,
            voxels=_times(dimensions),
        )
    if not ((spacing >= SPACING_MM[0]) & (spacing <= SPACING_MM[1])).all():
        raise FetalPoseError(
            "The volume '{name}' has a voxel spacing of {spacing} mm; {low:g} to {high:g} mm is plausible. Correct it "
            "in the file, or in Slicer's module Volumes.",
            name=name,
            spacing=_times(spacing),
            low=SPACING_MM[0],
            high=SPACING_MM[1],
        )
    extent = dimensions * spacing
    if extent.min() < EXTENT_MM[0]:
        raise FetalPoseError(
            "The volume '{name}' measures {extent} mm, and a fetus needs {least:g} mm on every side. "
            "Choose a volume that shows the whole fetus.",
            name=name,
            extent=_times(extent),
            least=EXTENT_MM[0],
        )
    if extent.max() > EXTENT_MM[1]:
        raise FetalPoseError(
            "The volume '{name}' measures {extent} mm, more than any ultrasound volume ({most:g} mm). Correct its "
            "voxel spacing, now {spacing} mm.",
            name=name,
            extent=_times(extent),
            most=EXTENT_MM[1],
            spacing=_times(spacing),
        )


def _check_values(array: np.ndarray, name: str) -> None:
    low, high = (array.min(), array.max()) if array.dtype.kind in "bui" else _finite_range(array)
    if np.isnan(low):
        raise FetalPoseError(
            "The volume '{name}' holds no finite value (all NaN or infinite). Export it again.", name=name
        )
    if low == high:
        raise FetalPoseError(
            "The volume '{name}' is constant: every voxel is {value:g}. Choose a volume with a picture in it.",
            name=name,
            value=float(low),
        )


def _finite_range(array: np.ndarray) -> tuple[float, float]:
    finite = array[np.isfinite(array)]
    return (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)


def _times(numbers) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


def _keep_file_name(node, path: Path) -> None:
    """Tell the node which file it came from, as Slicer's own readers do."""
    name = str(path)
    if path.is_dir() or plain(path.name) != path.name or not name.isprintable():
        return  # a scene stores names in UTF-8
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetSingleFile(True)
    storage.SetFileName(name)
    node.GetScene().AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
