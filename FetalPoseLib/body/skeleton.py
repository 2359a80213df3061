"""The landmark set as data: names, sides, segments, colours and the registration subset, read from one JSON file.

Another landmark set (FetusMapV2 uses 22) is another file; no other module knows a landmark by its number.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path


@dataclass(frozen=True)
class Segment:
    """A link from landmark `start` to landmark `end` (0-based), drawn in `color` (red, green, blue in 0..1)."""

    name: str
    start: int
    end: int
    color: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A landmark set (paper, Fig. 1b). All indices are 0-based; left and right are the fetus's own.

    Attributes
    ----------
    landmarks, descriptions : tuple of str
        Name of each landmark, and the anatomical point it stands for.
    segments : tuple of Segment
    symmetric_pairs : tuple of (int, int)
        Landmarks that change places when the body is mirrored; (right, left).
    registration_subset : tuple of int
        The robust landmarks that determine the rigid transform (paper, section 2.2).
    limbs : dict of str to tuple of int
        Chains from the trunk outwards, such as ``"left_arm": (3, 4, 5)``.
    """

    name: str
    landmarks: tuple[str, ...]
    descriptions: tuple[str, ...]
    segments: tuple[Segment, ...]
    symmetric_pairs: tuple[tuple[int, int], ...]
    registration_subset: tuple[int, ...]
    limbs: dict[str, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.landmarks)

    def index(self, name: str) -> int:
        """0-based index of the landmark called `name`; ValueError if there is none."""
        try:
            return self.landmarks.index(name)
        except ValueError:
            raise ValueError(f"no landmark '{name}' in {self.name}; it has {', '.join(self.landmarks)}") from None

    @cached_property
    def mirror(self) -> np.ndarray:
        """Permutation (16,) that gives a mirrored body its names back: ``mirrored_points[skeleton.mirror]``."""
        permutation = np.arange(len(self))
        for a, b in self.symmetric_pairs:
            permutation[[a, b]] = b, a
        permutation.flags.writeable = False
        return permutation

    def exchange(self, limbs: Iterable[str]) -> np.ndarray:
        """Permutation (16,) that exchanges limbs with those of the other side: ``points[exchange(["left_arm"])]``."""
        permutation = np.arange(len(self))
        for limb in limbs:
            moved = [*self.limbs[limb], *self.limbs[self.partner(limb)]]
            permutation[moved] = self.mirror[moved]
        return permutation

    def exchanged_limbs(self) -> list[np.ndarray]:
        """Permutations (16,): no limb exchanged, then the arms, the legs, and both."""
        limbs = sorted({min(name, self.partner(name)) for name in self.limbs})
        chosen: list[list[str]] = [[]]
        for limb in limbs:
            chosen += [[*names, limb] for names in chosen]
        return [self.exchange(names) for names in chosen]

    def levels(self) -> list[list[tuple[int, int | None]]]:
        """The segments as a tree, level by level: (landmark, its parent), beginning with the landmark of most segments.

        ValueError if the segments do not join all landmarks to one tree.
        """
        neighbours: dict[int, list[int]] = {landmark: [] for landmark in range(len(self))}
        for segment in self.segments:
            neighbours[segment.start].append(segment.end)
            neighbours[segment.end].append(segment.start)
        root = max(neighbours, key=lambda landmark: len(neighbours[landmark]))
        levels: list[list[tuple[int, int | None]]] = [[(root, None)]]
        known = {root}
        while levels[-1]:
            links = [(child, parent) for parent, _ in levels[-1] for child in neighbours[parent]]
            links = [(child, parent) for child, parent in links if child not in known]
            known |= {child for child, _ in links}
            levels.append(list(links))
        if len(known) != len(self) or len(self.segments) != len(self) - 1:
            raise ValueError(f"the {len(self.segments)} segments of {self.name} join no tree of {len(self)} landmarks")
        return levels[:-1]

    def partner(self, limb: str) -> str:
        """The limb of the other side: ``partner("left_arm") == "right_arm"``."""
        mirrored = tuple(int(i) for i in self.mirror[list(self.limbs[limb])])
        return next(name for name, chain in self.limbs.items() if chain == mirrored)


@lru_cache
def load_skeleton(path: str | Path | None = None) -> Skeleton:
    """The skeleton in the JSON file `path`, or the bundled one; read once, so treat it as immutable.

    Raises
    ------
    FetalPoseError
        The file is missing, is not JSON, or contradicts itself; the message names the entry.
    """
    path = Path(path) if path is not None else resource_path("skeleton.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _Reader(data).skeleton()
    except OSError as error:
        raise FetalPoseError(f"Cannot read the skeleton {path}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise FetalPoseError(f"The skeleton {path} is not valid JSON: {error}.") from error
    except KeyError as error:
        raise FetalPoseError(f"The skeleton {path} lacks the entry {error}; see the bundled skeleton.json.") from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise FetalPoseError(f"The skeleton {path} is not usable: {error}.") from error


class _Reader:
    """Turns the file's names and 1-based numbers into 0-based indices, and checks what depends on what."""

    def __init__(self, data: dict):
        self.data = _expect(data, dict, "the file")
        self.entries = [_expect(entry, dict, "a landmark") for entry in _expect(data["landmarks"], list, "landmarks")]
        self.names = tuple(_expect(entry["name"], str, "a landmark's name") for entry in self.entries)
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"the landmark '{name}' is listed twice")

    def skeleton(self) -> Skeleton:
        skeleton = Skeleton(
            name=_expect(self.data["name"], str, "name"),
            landmarks=self.names,
            descriptions=tuple(_expect(entry["description"], str, "a description") for entry in self.entries),
            segments=tuple(self.segment(entry) for entry in _expect(self.data["segments"], list, "segments")),
            symmetric_pairs=tuple(
                self.pair(pair) for pair in _expect(self.data["symmetric_pairs"], list, "symmetric_pairs")
            ),
            registration_subset=self.chain(self.data["registration_subset"], "registration subset"),
            limbs={name: self.chain(chain, name) for name, chain in _expect(self.data["limbs"], dict, "limbs").items()},
        )
        self.check(skeleton)
        return skeleton

    def landmark(self, reference: str | int) -> int:
        if isinstance(reference, str) and reference in self.names:
            return self.names.index(reference)
        if type(reference) is int and 1 <= reference <= len(self.names):
            return reference - 1
        raise ValueError(f"{reference!r} is neither a landmark's name nor a number from 1 to {len(self.names)}")

    def chain(self, references: list, what: str, length: int | None = None) -> tuple[int, ...]:
        indices = tuple(self.landmark(reference) for reference in _expect(references, list, what))
        if len(set(indices)) != len(indices) or len(indices) != (length or len(indices)):
            raise ValueError(f"{what} {references} must be {length or 'a list of'} different landmarks")
        return indices

    def pair(self, references: list) -> tuple[int, int]:
        right, left = self.chain(references, "symmetric pair", 2)
        return right, left

    def segment(self, entry: dict) -> Segment:
        name = _expect(_expect(entry, dict, "a segment")["name"], str, "a segment's name")
        start, end = self.chain([entry["from"], entry["to"]], f"segment '{name}'", 2)
        color = tuple(float(value) for value in _expect(entry["color"], list, f"the colour of '{name}'"))
        if len(color) != 3 or not all(0 <= value <= 1 for value in color):
            raise ValueError(f"segment '{name}' has colour {entry['color']}, not three numbers from 0 to 1")
        return Segment(name, start, end, color)

    @staticmethod
    def check(skeleton: Skeleton) -> None:
        paired = [index for pair in skeleton.symmetric_pairs for index in pair]
        if len(set(paired)) != len(paired):
            raise ValueError("a landmark stands in two symmetric pairs")
        if len(skeleton.registration_subset) < 3:
            raise ValueError(f"a rigid transform needs 3 landmarks, got {len(skeleton.registration_subset)}")
        chains = set(skeleton.limbs.values())
        for name, chain in skeleton.limbs.items():
            if tuple(int(i) for i in skeleton.mirror[list(chain)]) not in chains:
                raise ValueError(f"the limb '{name}' has no partner on the other side")


_KINDS: dict[type, str] = {dict: "a JSON object", list: "a list", str: "a text"}


def _expect(value, kind: type, what: str):
    """`value`, which must be of `kind`; TypeError with a sentence if it is not."""
    if not isinstance(value, kind):
        raise TypeError(f"{what} must be {_KINDS[kind]}, not {value!r}")
    return value
