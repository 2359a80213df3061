"""An image as its header describes it: what each axis is, where it lies, and how it becomes one `Volume`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import Doubt, Reading
from FetalPoseLib.reading.refusals import NotStatedError, damaged, moving_frames, no_spacing
from FetalPoseLib.reading.voxels import Storage
from FetalPoseLib.volume.grid import Volume

Role = Literal["space", "frames", "channels"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
#: How a person gets the poses of all volumes over time.
FOLLOW = "follow the fetus through all of them (fetalpose estimate SEQUENCE --output POSES.seq.mrb)"
MAX_SIZE = 2**31 - 1  # voxels along an axis
MAX_VOXELS = 250_000_000  # of one volume, 1 GB as float32: 630 along each axis, machines store 400
SAME = 0.01  # largest relative difference of two statements of one length
_ONE_MM = 1e-9


@dataclass(frozen=True)
class Axis:
    """One axis of the stored array, in the file's order, fastest first."""

    size: int
    role: Role = "space"


@dataclass(frozen=True, eq=False)
class Image:
    """A header that was read and checked; its voxels are not read yet.

    Attributes
    ----------
    axes : tuple of Axis
        Fastest first. Exactly three of them are of space.
    ijk_to_ras : (4, 4)
        Of the three axes of space, in the order of ``axes``.
    storage : Storage
    slope, intercept : float
        Value = slope x number + intercept.
    doubts : tuple of Doubt
    times : tuple of float, optional
        Seconds of each frame, where the file states them with their unit.
    """

    axes: tuple[Axis, ...]
    ijk_to_ras: np.ndarray
    storage: Storage
    slope: float = 1.0
    intercept: float = 0.0
    doubts: tuple[Doubt, ...] = field(default=())
    times: tuple[float, ...] | None = None

    def __post_init__(self):
        check_axes(self.axes)
        self.storage.check()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Voxels along the axes of space, (nx, ny, nz)."""
        return tuple(axis.size for axis in self.axes if axis.role == "space")

    @property
    def frames(self) -> int:
        """How many volumes over time there are."""
        return math.prod(axis.size for axis in self.axes if axis.role == "frames")

    def load(self, frame: int | None = None) -> Reading:
        """Read the voxels of one frame, which counts from 1 and may be left out if there is one only.

        Raises
        ------
        FetalPoseError
            No frame was chosen of several, or one that is not there; the voxels are damaged, or in colour.
        """
        chosen = choose_frame(frame, self.frames)
        numbers, surplus = self.storage.read()
        doubts = self.doubts
        if surplus >= (1 if self.storage.parts else math.prod(self.sizes[:2]) * self.storage.kind.itemsize):
            doubts += (Doubt("surplus", str(surplus)),)
        return Reading(self.frame_of(numbers, chosen), doubts, self.frames)

    def frame_of(self, numbers: np.ndarray, frame: int) -> Volume:
        """The volume of one frame, from 1, out of all numbers of the file (count,). FetalPoseError as for `load`."""
        array = numbers.reshape([axis.size for axis in reversed(self.axes)])
        roles = [axis.role for axis in reversed(self.axes)]
        order = [i for role in ("frames", "space", "channels") for i, other in enumerate(roles) if other == role]
        array = array.transpose(order)
        inner = array.shape[roles.count("frames") : roles.count("frames") + 3]
        outer = np.unravel_index(frame - 1, array.shape[: roles.count("frames")]) if self.frames > 1 else None
        array = array[outer] if outer is not None else array.reshape(array.shape[roles.count("frames") :])
        array = grey(array.reshape(*inner, -1))
        if (self.slope, self.intercept) != (1.0, 0.0):
            array = (array * np.float32(self.slope) + np.float32(self.intercept)).astype(np.float32)
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        return Volume(array, self.ijk_to_ras)


def check_axes(axes: Sequence[Axis]) -> None:
    """Raise FetalPoseError unless the axes are those of a volume, of volumes over time, or of a volume in colour."""
    for axis in axes:
        if not 1 <= axis.size <= MAX_SIZE:
            raise damaged(f"it states an axis of {axis.size} voxels")
    space = [axis.size for axis in axes if axis.role == "space"]
    frames = math.prod(axis.size for axis in axes if axis.role == "frames")
    check_count(math.prod(space))
    if len(space) == 2 and frames > 1:
        raise moving_frames(frames)
    if len(space) != 3 or min(space) < 2:
        raise FetalPoseError(
            f"It is {'2D' if len(space) <= 3 else f'{len(space)}D'} ({' x '.join(map(str, space))} voxels in space). "
            "Choose a 3D volume, or the whole series."
        )


def check_count(voxels: int) -> None:
    """Raise FetalPoseError if one volume has more voxels than can be resampled in a common computer's memory."""
    if voxels > MAX_VOXELS:
        raise FetalPoseError(
            f"It states {voxels:.3g} voxels, more than any ultrasound volume ({MAX_VOXELS:.2g}). The header is "
            "damaged, or the volume must be made smaller first."
        )


def choose_frame(frame: int | None, frames: int) -> int:
    """The frame to read, from 1; FetalPoseError if it is not there, or none was chosen of several."""
    if frame is None and frames > 1:
        raise FetalPoseError(
            f"It is a 4D series of {frames} volumes over time. Choose one, from 1 to {frames} (--frame on the command "
            f"line), or {FOLLOW}."
        )
    if frame is not None and not 1 <= frame <= frames:
        content = f"{frames} volumes over time" if frames > 1 else "one volume"
        raise FetalPoseError(f"It holds {content}, so there is no number {frame}. Choose another, or leave it out.")
    return frame or 1


def grey(array: np.ndarray) -> np.ndarray:
    """The grey values (nz, ny, nx) of voxels (nz, ny, nx, channels): colour is grey where its channels are equal."""
    channels = array.shape[-1]
    if channels in (3, 4) and all(np.array_equal(array[..., 0], array[..., i]) for i in (1, 2)):
        return array[..., 0]  # a fourth is opacity
    if channels != 1:
        raise FetalPoseError(
            f"It has several values per voxel ({channels}: colour or vectors) that differ. Choose a greyscale volume, "
            "or convert it (Slicer's module Vector to Scalar Volume)."
        )
    return array[..., 0]


def check_spacing(spacing: Sequence[float]) -> tuple[Doubt, ...]:
    """Refuse a spacing (mm, of each axis of space) that cannot be true, and doubt one that nobody may have chosen."""
    if not len(spacing):
        raise no_spacing()
    if not all(0 < value < math.inf for value in spacing):
        stated = " x ".join(f"{value:g}" for value in spacing)
        raise NotStatedError(f"It states an impossible voxel spacing of {stated} mm. Correct the file's header.")
    return one_mm_doubt(spacing)


def one_mm_doubt(spacing: Sequence[float]) -> tuple[Doubt, ...]:
    """Many programs write 1 mm where they know nothing: beside other spacings, that is doubtful."""
    ones = [abs(value - 1) < _ONE_MM for value in spacing]
    if any(ones) and not all(ones):
        return (Doubt("one_mm", " x ".join(f"{value:.4g}" for value in spacing)),)
    return ()


def unstated_unit_doubt(spacing: Sequence[float], unit: str) -> tuple[Doubt, ...]:
    """Of a file that states no orientation: where there is no unit either, 1 may only mean that nothing was known."""
    return (Doubt("unit"),) if not unit and all(abs(value - 1) < _ONE_MM for value in spacing) else ()


def matrix_of(columns: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """IJK-to-RAS (4, 4) of three columns and an origin, both RAS mm.

    Raises
    ------
    FetalPoseError
        The columns do not span space, or the origin is not finite.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = origin
    if not np.isfinite(matrix).all():
        raise NotStatedError("It states an origin or a direction that is no number. Correct the file's header.")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not lengths.all() or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 0.1:
        raise NotStatedError(
            "Its axes do not span space: two point the same way. Correct the directions in its header."
        )
    return matrix
