"""GE Kretz volumes: from a file to a volume in the probe's own coordinates, or to a Cartesian one.

It reads ``.vol`` and ``.v00`` files, the DICOM files that wrap them, and ``.4dv`` files, which are zips; of volumes
over time, one frame. Compressed voxels are refused. No real file was at hand: the reader follows what two public ones
agree on (SlicerHeart's KretzFileReader; kretz by Looney, Stevenson and Collins), and leaves in doubt where they differ.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading import kretz_items as tags
from FetalPoseLib.reading.doubts import Doubt, Reading
from FetalPoseLib.reading.foreign import how_to_export
from FetalPoseLib.reading.image import FOLLOW
from FetalPoseLib.reading.kretz_items import KretzItems
from FetalPoseLib.reading.kretz_wrappers import is_kretz, open_payload
from FetalPoseLib.reading.names import shown
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeGrid, ProbeVolume

__all__ = ["count_frames", "is_kretz", "read_kretz"]

MAX_VOXELS = 10**8  # five times the largest volume that machines store
RADIAL_STEP_MM = (0.01, 3.0)  # between samples of a beam
SPACING_MM = (0.02, 10.0)  # of Cartesian voxels
MAX_DEPTH_MM = 600.0

_Result = TypeVar("_Result")


def read_kretz(path: str | Path, *, frame: int | None = None, mirrored: bool = False) -> Reading:
    """Read a GE Kretz volume.

    The world is the probe's: R lateral, A along the sweep, S down the beam, with the origin where the beams meet. That
    is where SlicerHeart puts it, and ``mirrored`` is where Looney et al. put it. Which of them has the fetus's left and
    right is not known, so the sides of what is returned are never confirmed.

    Parameters
    ----------
    path : .vol, .v00, .4dv or a DICOM file with a volume of creator KRETZ_US
    frame : int, optional
        Which of the volumes over time, from 1. It may be left out if there is one only.
    mirrored : bool
        Exchange the probe's left and right.

    Returns
    -------
    Reading
        Its volume is a `ProbeVolume`, or a `Volume` if the file is Cartesian.

    Raises
    ------
    FetalPoseError
        The file is no Kretz file, is damaged or cut short, holds compressed voxels or states no geometry; or it holds
        several frames and none was chosen, or not that one.

    Example
    -------
    >>> reading = read_kretz("fetus.vol")
    >>> image = resample(reading.volume, canonical_grid(reading.volume, 1.0))
    """
    return _with_items(path, lambda items: _read(items, frame, mirrored))


def count_frames(path: str | Path) -> int:
    """How many volumes over time a Kretz file holds. Raises as `read_kretz`."""
    return _with_items(path, lambda items: _frames(items, _sizes(items)))


def _with_items(path: str | Path, use: Callable[[KretzItems], _Result]) -> _Result:
    """What ``use`` makes of the file's items; every FetalPoseError starts with the file's name."""
    try:
        with open_payload(path) as payload:
            return use(KretzItems.find(payload.stream, payload.start, payload.end))
    except FetalPoseError as error:
        raise FetalPoseError(f"The volume {shown(path)} cannot be read. {error}") from error
    except OSError as error:
        raise FetalPoseError(f"The volume {shown(path)} cannot be read: {error.strerror or error}.") from error


def _read(items: KretzItems, frame: int | None, mirrored: bool) -> Reading:
    sizes = _sizes(items)
    frames = _frames(items, sizes)
    array = _voxels(items, sizes, _chosen(frame, frames), frames)
    doubts = [Doubt("sides", "mirrored" if mirrored else "as SlicerHeart reads it")]
    if tags.FAN_ANGLES in items or tags.BEAM_ANGLES in items:
        grid, off_degrees = _probe_grid(items, sizes, mirrored)
        volume: Volume | ProbeVolume = ProbeVolume(array, grid)
        if off_degrees > np.degrees(np.ptp(grid.theta)) / (len(grid.theta) - 1):  # more than one beam
            doubts.append(Doubt("middle", f"{off_degrees:.3g}"))
    else:
        spacing = _cartesian_spacing(items)
        volume = Volume(array, np.diag([-spacing if mirrored else spacing, spacing, spacing, 1]))
        doubts.append(Doubt("spacing", f"{spacing:.4g}"))
    stated = items.whole_number(tags.FRAME_COUNT)
    if _is_film(items) and stated and stated != frames:
        doubts.append(Doubt("frames", f"{stated} frames and holds {frames}"))
    if items.cut:
        doubts.append(Doubt("end"))
    return Reading(volume, tuple(doubts), frames)


def _sizes(items: KretzItems) -> tuple[int, int, int]:
    """Samples along a beam, beams, fans: (I, J, K)."""
    sizes = items.count(tags.SIZE_I, "size"), items.count(tags.SIZE_J, "size"), items.count(tags.SIZE_K, "size")
    if min(sizes) < 2:
        raise FetalPoseError(f"Its {_times(sizes)} voxels are no volume. Choose a 3D volume.")
    if np.prod([float(size) for size in sizes]) > MAX_VOXELS:
        raise FetalPoseError(f"It states {_times(sizes)} voxels, more than any machine stores. The file is damaged.")
    return sizes


def _is_film(items: KretzItems) -> bool:
    return tags.FRAMES in items and items.size(tags.FRAMES) > 1


def _frames(items: KretzItems, sizes: tuple[int, int, int]) -> int:
    """How many volumes the file holds, each of them whole and uncompressed."""
    wanted = int(np.prod(sizes))
    if _is_film(items):
        frames, rest = divmod(items.size(tags.FRAMES), wanted)
        if frames and rest <= 1:  # a byte may fill up to an even number
            return frames
        raise _compressed(f"{items.size(tags.FRAMES)} bytes hold no whole number of frames of {_times(sizes)} voxels")
    if tags.VOXELS not in items:
        raise _compressed("there are no plain voxels in it (item D000/0001)")
    if not wanted <= items.size(tags.VOXELS) <= wanted + 1:
        raise _compressed(f"{items.size(tags.VOXELS)} bytes do not hold {_times(sizes)} voxels")
    return 1


def _compressed(why: str) -> FetalPoseError:
    return FetalPoseError(
        f"Its voxels are compressed (wavelet), or the file is damaged: {why}. Open it in GE's 4D View and save it with "
        f"'Wavelet compression' set to None. {how_to_export()}"
    )


def _chosen(frame: int | None, frames: int) -> int:
    if frame is None and frames > 1:
        raise FetalPoseError(f"It holds {frames} volumes over time. Choose one, from 1 to {frames}, or {FOLLOW}.")
    if frame is not None and not 1 <= frame <= frames:
        raise FetalPoseError(f"It holds {frames} volume{'s' * (frames > 1)} over time, so there is no number {frame}.")
    return frame or 1


def _voxels(items: KretzItems, sizes: tuple[int, int, int], frame: int, frames: int) -> np.ndarray:
    """One frame, (K, J, I) uint8."""
    wanted = int(np.prod(sizes))
    if _is_film(items) and (frames > 1 or tags.VOXELS not in items):
        data = items.bytes(tags.FRAMES, (frame - 1) * wanted, wanted)
    elif wanted <= items.size(tags.VOXELS) <= wanted + 1:
        data = items.bytes(tags.VOXELS, 0, wanted)
    else:
        raise _compressed(f"{items.size(tags.VOXELS)} bytes do not hold {_times(sizes)} voxels")
    return np.frombuffer(data, dtype=np.uint8).reshape(sizes[::-1])


def _probe_grid(items: KretzItems, sizes: tuple[int, int, int], mirrored: bool) -> tuple[ProbeGrid, float]:
    """Where the samples lie, and by how many degrees the beams' middle misses straight ahead, which is 90 or 0."""
    for tag, name in ((tags.BEAM_ANGLES, "beams"), (tags.FAN_ANGLES, "fans")):
        if tag not in items:
            raise FetalPoseError(f"It states no angles of its {name}. The file is damaged.")
    step = 1000 * items.number(tags.RADIAL_STEP_M, "distance between samples")
    if not RADIAL_STEP_MM[0] <= step <= RADIAL_STEP_MM[1]:
        raise FetalPoseError(
            f"It states {step:.4g} mm between samples; {RADIAL_STEP_MM[0]:g} to {RADIAL_STEP_MM[1]:g} mm is plausible. "
            "The file is damaged."
        )
    radius = step * items.number(tags.FIRST_SAMPLE, "distance of the first sample")
    axis = -step * items.number(tags.SWEEP_AXIS, "axis of the sweep")
    if max(abs(radius), abs(axis), step * sizes[0]) > MAX_DEPTH_MM:
        raise FetalPoseError(
            f"Its beams start at {radius:.4g} mm, turn about {axis:.4g} mm and are {step * sizes[0]:.4g} mm long; "
            f"{MAX_DEPTH_MM:g} mm is the most. The file is damaged."
        )
    theta = items.numbers(tags.BEAM_ANGLES, sizes[1], "angles of beams")
    phi = items.numbers(tags.FAN_ANGLES, sizes[2], "angles of fans")
    if not (np.isfinite(theta).all() and np.isfinite(phi).all()):
        raise FetalPoseError("Some of its angles are no numbers. The file is damaged.")
    middle = (theta[0] + theta[-1]) / 2
    to_ras = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0, 1.0])
    grid = ProbeGrid(sizes[0], radius, step, axis, theta - middle, phi - (phi[0] + phi[-1]) / 2, to_ras)
    return grid, float(np.degrees(min(abs(middle - np.pi / 2), abs(middle))))


def _cartesian_spacing(items: KretzItems) -> float:
    spacing = items.number(tags.CARTESIAN_SPACING_MM, "voxel spacing")
    if not SPACING_MM[0] <= spacing <= SPACING_MM[1]:
        raise FetalPoseError(
            f"It states voxels of {spacing:.4g} mm; {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm is plausible. "
            f"Export it again. {how_to_export()}"
        )
    return spacing


def _times(numbers) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
