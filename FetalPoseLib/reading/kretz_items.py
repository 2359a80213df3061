"""The items of a Kretz file: what GE Voluson machines store 3D and 4D volumes in.

Little endian: 16 bytes of signature, then items of uint16 group, uint16 element, uint32 size and data, until the end.
There is no public description; names and meanings follow two public readers (SlicerHeart's KretzFileReader; kretz by
Looney, Stevenson and Collins). Only items on the list below are ever looked at: groups 0110 to 0150 hold the patient's
name, date of birth and hospital, and are stepped over.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from FetalPoseLib.errors import FetalPoseError

SIGNATURE = b"KRETZFILE 1.0   "
MAX_ITEMS = 100_000  # a file has some hundred

Tag = tuple[int, int]

SIZE_I, SIZE_J, SIZE_K = (0xC000, 1), (0xC000, 2), (0xC000, 3)  # along a beam, beams, fans: uint16
RADIAL_STEP_M = (0xC100, 1)  # double
FIRST_SAMPLE, SWEEP_AXIS = (0xC200, 1), (0xC200, 2)  # doubles, in radial steps
FAN_ANGLES, BEAM_ANGLES = (0xC300, 1), (0xC300, 2)  # K and J doubles, radians
CARTESIAN_SPACING_MM = (0x0010, 0x22)  # double; that it is the spacing is not confirmed
VOXELS = (0xD000, 1)  # uint8, i fastest
FRAME_COUNT = (0xD400, 1)
FRAMES = (0xD600, 1)  # uint8, one volume after the other

WANTED = {
    SIZE_I, SIZE_J, SIZE_K, RADIAL_STEP_M, FIRST_SAMPLE, SWEEP_AXIS, FAN_ANGLES, BEAM_ANGLES, CARTESIAN_SPACING_MM,
    VOXELS, FRAME_COUNT, FRAMES,
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Where an item's data lie in the stream, in bytes."""

    start: int
    size: int


@dataclass(frozen=True, eq=False)
class KretzItems:
    """The items on the list that a file holds, not yet read.

    Attributes
    ----------
    stream : binary, seekable
    items : tag to Item
    cut : whether the file ends within an item.
    """

    stream: BinaryIO
    items: Mapping[Tag, Item]
    cut: bool

    @classmethod
    def find(cls, stream: BinaryIO, start: int, end: int) -> "KretzItems":
        """Step through the items between two positions of the stream, reading nothing but their heads.

        Raises
        ------
        FetalPoseError
            The signature is another, an item on the list is cut short or stands there twice.
        """
        stream.seek(start)
        signature = stream.read(len(SIGNATURE))
        if signature != SIGNATURE:
            raise FetalPoseError("It does not start as Kretz files of version 1.0 do.")
        items, position, cut = {}, start + len(SIGNATURE), False
        for _ in range(MAX_ITEMS):
            stream.seek(position)
            head = stream.read(8) if end - position >= 8 else b""
            if len(head) < 8:  # fewer bytes are padding
                break
            group, element, size = struct.unpack("<HHI", head)
            cut = size > end - position - 8
            if (group, element) in WANTED:
                if cut:
                    raise FetalPoseError(
                        f"Its item {_name((group, element))} takes {size} bytes and {end - position - 8} are left: the "
                        "file was cut short. Copy it again."
                    )
                if (group, element) in items:
                    raise FetalPoseError(
                        f"Its item {_name((group, element))} stands there twice, so which one holds is not known."
                    )
                items[group, element] = Item(position + 8, size)
            if cut:
                break
            position += 8 + size
        else:
            raise FetalPoseError(f"It holds more than {MAX_ITEMS} items. The file is damaged.")
        return cls(stream, items, cut)

    def __contains__(self, tag: Tag) -> bool:
        return tag in self.items

    def size(self, tag: Tag) -> int:
        """Bytes of an item's data."""
        return self.items[tag].size

    def count(self, tag: Tag, name: str) -> int:
        """A whole number above 0; FetalPoseError if it is absent or none."""
        value = self.whole_number(tag)
        if not 0 < value < 2**31:
            raise FetalPoseError(f"It states no {name} ({_name(tag)}). The file is damaged.")
        return value

    def whole_number(self, tag: Tag) -> int:
        """An item's unsigned integer of 2, 4 or 8 bytes; 0 if it is absent or of another size."""
        size = self.size(tag) if tag in self.items else 0
        return int.from_bytes(self.bytes(tag, 0, size), "little") if size in (2, 4, 8) else 0

    def number(self, tag: Tag, name: str) -> float:
        """A finite double; FetalPoseError if it is absent or none."""
        stated = tag in self.items and self.size(tag) == 8
        value = struct.unpack("<d", self.bytes(tag, 0, 8))[0] if stated else np.nan
        if not np.isfinite(value):
            raise FetalPoseError(f"It states no {name} ({_name(tag)}), so nothing can be measured in it.")
        return value

    def numbers(self, tag: Tag, count: int, name: str) -> np.ndarray:
        """So many doubles; FetalPoseError if there are more or fewer."""
        if self.size(tag) != 8 * count:
            raise FetalPoseError(
                f"It states {self.size(tag) / 8:g} {name} where {count} belong ({_name(tag)}). The file is damaged."
            )
        return np.frombuffer(self.bytes(tag, 0, 8 * count), dtype="<f8").astype(np.float64)

    def bytes(self, tag: Tag, first: int, count: int) -> bytes:
        """Bytes of an item's data; FetalPoseError if the stream holds fewer."""
        self.stream.seek(self.items[tag].start + first)
        data = self.stream.read(count)
        if len(data) != count:
            raise FetalPoseError(f"{len(data)} of {count} bytes are left in it: the file was cut short. Copy it again.")
        return data


def _name(tag: Tag) -> str:
    return f"{tag[0]:04X}/{tag[1]:04X}"
