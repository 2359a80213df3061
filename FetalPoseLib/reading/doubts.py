"""What a file does not say, or nobody has confirmed: the one list, which every front end shows.

Lengths and sides depend on it. What would make every number wrong is refused by the reader; what a person can check is
a `Doubt` beside the volume.
"""

from dataclasses import dataclass

from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

#: By code: what is in doubt and what to do. ``{value}`` is the doubt's own.
SENTENCES = {
    "sides": "Left and right are not confirmed for GE Kretz files: the two public readers of the format mirror each "
    "other. The volume was read {value}. Compare it with the picture on the machine; where they differ, choose the "
    "other: --mirrored on the command line, 'Volume is mirrored' in the panel.",
    "spacing": "That the voxels measure {value} mm is not confirmed: no public description says which item of a "
    "Cartesian Kretz file holds their size. Compare one length with the machine's.",
    "middle": "The beams' angles lie {value} degrees off straight ahead. Their middle was taken for straight ahead, "
    "which bends lengths if the machine steered the fan aside. Compare one length with the machine's.",
    "frames": "The file states {value}. What it holds was counted. Check that the frame is the one you mean.",
    "one_mm": "Some axes measure exactly 1 mm per voxel and others do not ({value} mm): programs write 1 mm where they "
    "know nothing. Compare one length along each axis with the machine's.",
    "unit": "The file states neither a unit nor an orientation, and every voxel measures exactly 1, which programs "
    "write where they know nothing. It was taken for 1 mm. Compare one length along each axis with the machine's.",
    "orientation": "The file does not state which way its axes point, or contradicts itself. They were taken for "
    "{value}. If that is wrong, left and right may be exchanged. Compare one side with the machine's picture; where "
    "they differ: --mirrored on the command line, 'Volume is mirrored' in the panel.",
    "surplus": "{value} bytes follow the voxels that the header states. If they are a part of the volume, or another "
    "header stands before it, the picture is shifted. Look at it first.",
    "incomplete": "The series states {value}. Export the whole series if the fetus is cut off.",
    "numbers": "The numbers of the volumes leave some out ({value}). They were taken as evenly spaced in time. Check "
    "that none is missing; where some are, speeds and times are wrong.",
    "rate": "The file states {value}. What was given is used. Check it, because speeds depend on it.",
    "end": "The file ends within an item that follows the voxels: it was cut short. The voxels themselves are whole.",
}


@dataclass(frozen=True)
class Doubt:
    """One thing that the file leaves open.

    Attributes
    ----------
    code : str
        A key of `SENTENCES`, which goes into the pose's file.
    value : str
        What was taken for it.
    """

    code: str
    value: str = ""

    def __post_init__(self):
        if self.code not in SENTENCES:
            raise ValueError(f"there is no doubt '{self.code}'; there are {', '.join(SENTENCES)}")

    @property
    def sentence(self) -> str:
        """For the user: what is in doubt, what was taken for it, and how to check."""
        return SENTENCES[self.code].format(value=self.value)


@dataclass(frozen=True, eq=False)
class Reading:
    """A volume as it came from a file.

    Attributes
    ----------
    volume : Volume or ProbeVolume
    doubts : tuple of Doubt
    frames : int
        How many volumes over time the file holds; ``volume`` is one of them.
    """

    volume: Volume | ProbeVolume
    doubts: tuple[Doubt, ...] = ()
    frames: int = 1

    @property
    def in_probe_coordinates(self) -> bool:
        """Whether the volume is a `ProbeVolume`, which Slicer can show only once it is resampled."""
        return isinstance(self.volume, ProbeVolume)
