"""Volumes: from files to scalar volume nodes, and from a node to the array and matrix that the network takes."""

from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.reading.foreign import check_not_foreign
from FetalPoseLib.reading.kretz_wrappers import is_kretz
from FetalPoseLib.scene.dicom import slices_in_order
from FetalPoseLib.scene.headers import check_header
from FetalPoseLib.scene.kretz import keep_doubts, read_kretz_volume
from FetalPoseLib.volume.grid import Volume

SPACING_MM = (0.02, 10.0)  # a probe at 50 MHz resolves 0.03 mm; 10 mm is a fetal head in two voxels
EXTENT_MM = (30.0, 600.0)  # the width of a sac at 10 weeks; twice that of an adult's abdomen


def new_scene():
    """A vtkMRMLScene outside the application, which knows how to store markups."""
    scene = slicer.vtkMRMLScene()
    scene.RegisterNodeClass(slicer.vtkMRMLMarkupsJsonStorageNode())
    return scene


def silence_log() -> None:
    """Keep MRML's log from standard error: what matters of it reaches the user as a FetalPoseError."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)


def read_volume(scene, path: str | Path, *, frame: int | None = None):
    """Read NRRD, NIfTI, MetaImage, GE Kretz, or a folder with one DICOM series into a new vtkMRMLScalarVolumeNode.

    ``frame`` chooses a volume, from 1, in a Kretz file that holds several. What a Kretz file leaves open stays on the
    node, see `kretz.doubts_of`.

    Raises
    ------
    FetalPoseError
        The file is missing, damaged, states no voxel spacing, or holds something else than one 3D scalar image.
    """
    path = Path(path)
    if not path.exists():
        raise FetalPoseError(f"The volume {path} does not exist. Check its name.")
    check_not_foreign(path)
    if path.is_file() and is_kretz(path):
        volume, doubts = read_kretz_volume(path, frame)
        node = add_volume(scene, volume, path.name.split(".")[0])
        keep_doubts(node, doubts)
        return node
    if frame is not None:
        raise FetalPoseError(f"{path} holds one volume. Leave out the number of a frame.")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    if path.is_dir():
        files = slices_in_order(path)
        storage.SetSingleFile(len(files) == 1)
        storage.SetFileName(str(files[0]))
        storage.ResetFileNameList()
        for file in files:
            storage.AddFileName(str(file))
    else:
        check_header(path)
        storage.SetSingleFile(True)
        storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.name.split(".")[0])
    if not storage.ReadData(node) or node.GetImageData() is None:
        scene.RemoveNode(node)
        raise FetalPoseError(_reason(path, storage.GetUserMessages().GetAllMessagesAsString()))
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())  # as Slicer's own readers do: the node knows its file
    return node


def volume_from_node(node) -> Volume:
    """The voxels of a scalar volume node, not copied, and their place in the world.

    Spacing, directions, handedness and linear parent transforms are all in `ijk_to_ras`.

    Raises
    ------
    FetalPoseError
        Not one 3D scalar image: a label map, a segmentation, a colour image, a 2D image, no image at all; a
        non-linear parent transform; a constant image or one without a finite value; a voxel spacing or an extent that
        no ultrasound volume has.
    """
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        kind = "nothing" if node is None else node.GetNodeTagName()
        raise FetalPoseError(f"Expected a scalar volume, got {kind}. Choose a 3D ultrasound volume.")
    name, image = f"The volume '{node.GetName()}'", node.GetImageData()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise FetalPoseError(f"{name} is a label map. Choose the ultrasound volume itself.")
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise FetalPoseError(f"{name} is empty. Load an ultrasound volume into it.")
    if image.GetNumberOfScalarComponents() != 1:
        channels = image.GetNumberOfScalarComponents()
        raise FetalPoseError(f"{name} has {channels} values a voxel (colour). Choose a greyscale volume.")
    matrix = _ijk_to_world(node, name)
    _check_size(np.array(image.GetDimensions()), np.linalg.norm(matrix[:3, :3], axis=0), name)
    array = slicer.util.arrayFromVolume(node)
    _check_values(array, name)
    return Volume(array, matrix)


def add_volume(scene, volume: Volume, name: str = "Volume"):
    """A new vtkMRMLScalarVolumeNode that holds a `Volume`."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(volume.array))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(volume.ijk_to_ras)))
    return node


def write_volume(node, path: str | Path) -> None:
    """Write a volume node to .nrrd, .nii.gz or .mha; a file that was there is replaced only on success."""
    with replacing(path) as temporary:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise FetalPoseError(f"Cannot write the volume {path}. Choose a name ending in .nrrd, .nii.gz or .mha.")


def _ijk_to_world(node, name: str) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise FetalPoseError(
                f"{name} is under the non-linear transform '{transform.GetName()}', which bends lengths. "
                "Take it out of the transform, or harden it."
            )
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        vtk.vtkMatrix4x4.Multiply4x4(to_world, matrix, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _check_size(dimensions: np.ndarray, spacing: np.ndarray, name: str) -> None:
    if dimensions.min() < 2:
        raise FetalPoseError(f"{name} is 2D ({_times(dimensions)} voxels). Choose a 3D volume, or the whole series.")
    if not ((spacing >= SPACING_MM[0]) & (spacing <= SPACING_MM[1])).all():
        raise FetalPoseError(
            f"{name} has a voxel spacing of {_times(spacing)} mm; {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm is "
            "plausible. Correct it in the file, or in Slicer's module Volumes."
        )
    extent = dimensions * spacing
    if extent.min() < EXTENT_MM[0]:
        raise FetalPoseError(
            f"{name} measures {_times(extent)} mm, and a fetus needs {EXTENT_MM[0]:g} mm on every side. "
            "Choose a volume that shows the whole fetus."
        )
    if extent.max() > EXTENT_MM[1]:
        raise FetalPoseError(
            f"{name} measures {_times(extent)} mm, more than any ultrasound volume ({EXTENT_MM[1]:g} mm). "
            f"Correct its voxel spacing, now {_times(spacing)} mm."
        )


def _check_values(array: np.ndarray, name: str) -> None:
    low, high = (array.min(), array.max()) if array.dtype.kind in "bui" else _finite_range(array)
    if np.isnan(low):
        raise FetalPoseError(f"{name} holds no finite value (all NaN or infinite). Export it again.")
    if low == high:
        raise FetalPoseError(f"{name} is constant: every voxel is {low:g}. Choose a volume with a picture in it.")


def _finite_range(array: np.ndarray) -> tuple[float, float]:
    finite = array[np.isfinite(array)]
    return (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)


def _times(numbers) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


def _reason(path: Path, messages: str) -> str:
    """One line for the user out of the many that ITK has to say."""
    if "4D image" in messages:
        return f"{path} is a 4D series. Save one of its frames as a volume of its own."
    if "number of components" in messages:
        return f"{path} has several values a voxel (colour, vectors or a 4D series). Choose a greyscale 3D volume."
    return (
        f"{path} cannot be read as a volume: it is damaged or of another format. "
        "FetalPose reads NRRD, NIfTI, MetaImage and folders of DICOM slices."
    )
