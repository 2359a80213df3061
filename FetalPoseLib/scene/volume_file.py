"""A volume file as a `Volume`, for programs that need no scene of their own."""

import warnings
from pathlib import Path

from FetalPoseLib.reading.names import shown
from FetalPoseLib.scene.doubtful import doubts_of
from FetalPoseLib.scene.volumes import new_scene, volume_from_node
from FetalPoseLib.scene.volumes import read_volume as read_volume_node
from FetalPoseLib.volume.grid import Volume


def read_volume(path: str | Path) -> Volume:
    """Read NRRD, NIfTI, MetaImage, GE Kretz, a DICOM file, or a folder with one DICOM series.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Volume
        The voxels (nz, ny, nx) and their place in RAS mm: spacing, directions and handedness are those of the file.

    Warns
    -----
    UserWarning
        For each thing that the file leaves open, such as the sides in a GE Kretz file: what was taken for it and how
        to check it.

    Raises
    ------
    FetalPoseError
        The file is missing, damaged, states no voxel spacing, or holds something else than one 3D scalar image of an
        ultrasound volume's size.

    Example
    -------
    >>> volume = read_volume("volume.nrrd")
    >>> volume.grid.spacing  # (3,) mm
    """
    scene = new_scene()
    try:
        node = read_volume_node(scene, path)
        for doubt in doubts_of(node):
            warnings.warn(f"{shown(path)}: {doubt.sentence}", stacklevel=2)
        volume = volume_from_node(node)
        return Volume(volume.array.copy(), volume.ijk_to_ras)  # the scene's own voxels go with the scene
    finally:
        scene.Clear(0)
