"""Why a file is refused.

Inner functions raise a sentence that starts with "It"; `read.look` puts the file's name before it.
"""

from FetalPoseLib.errors import FetalPoseError


class NotStatedError(FetalPoseError):
    """The file can be read, but does not say what every length and side depends on, or contradicts itself about it.

    A program that shows such a file all the same has guessed. The scene refuses what it guessed, too.
    """


def no_spacing(which: str = "voxel spacing", remedy: str = "Export it again.") -> NotStatedError:
    """The refusal of a file without its spacing."""
    return NotStatedError(f"It states no {which}, so nothing can be measured in it. {remedy}")


def moving_frames(count: int) -> NotStatedError:
    """The refusal of 2D frames that are stacked like slices."""
    return NotStatedError(
        f"It holds {count} 2D frames over time or of a moving probe, not the slices of a volume. Export the 3D volume "
        "from the machine, or reconstruct one from the tracked frames (Slicer's extension SlicerIGT, Volume "
        "Reconstruction) and save it as NRRD."
    )


def damaged(why: str) -> FetalPoseError:
    """The refusal of a file whose contents are not what its header says."""
    return FetalPoseError(f"It is damaged: {why}. Copy or export it again.")
