"""A volume file as a `Volume`, for programs that need no scene of their own."""

from pathlib import Path

from FetalPoseLib.scene.volumes import new_scene, volume_from_node
from FetalPoseLib.scene.volumes import read_volume as read_volume_node
from FetalPoseLib.volume.grid import Volume


def read_volume(path: str | Path) -> Volume:
    """Read NRRD, NIfTI, MetaImage, or a folder with one DICOM series.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Volume
        The voxels (nz, ny, nx) and their place in RAS mm: spacing, directions and handedness are those of the file.

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
        volume = volume_from_node(read_volume_node(scene, path))
        return Volume(volume.array.copy(), volume.ijk_to_ras)  # the scene's own voxels go with the scene
    finally:
        scene.Clear(0)
