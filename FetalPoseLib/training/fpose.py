"""The layout of FPOSE, the data of FetusMap and FetusMapV2, which their authors give on request.

::

    volumes/ID.nii.gz                  the voxels; what the file says of spacing and directions is not to be relied on
    landmark_anno/ID_landmark.json     {"spacing": mm, "landmarks": {"NAME": [x, y, z], ...}}, in voxels from 0

What is publicly known of it is what the converter of nnLandmark (MIC-DKFZ, ``dataset_conversion``) reads: these two
keys. Volumes without an annotation are left alone, as there. The names of the landmarks are not public. Those that are
no name of ours are translated by a file ``names.json`` in the folder, ``{"THEIR NAME": "left_wrist", ...}``.

No file says whether the array is mirrored, which exchanges left and right. It is taken as right-handed in the order x,
y, z unless the user says `--mirrored`; the training says which it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.reading.nifti import open_voxels
from FetalPoseLib.scene.markups_file import landmark_name
from FetalPoseLib.training.pairs import key_of, points_inside
from FetalPoseLib.volume.grid import Volume

VOLUMES, ANNOTATIONS, NAMES = "volumes", "landmark_anno", "names.json"
ENDING = "_landmark.json"
SUFFIXES = (".nii.gz", ".nii")
SPACING_MM = (0.02, 10.0)
MOST_BYTES = 2**20  # of a JSON file; an annotation has one or two thousand


@dataclass(frozen=True)
class FposePair:
    """A volume and its annotation, see `pairs.AnyPair`."""

    stem: str
    volume: Path
    markups: Path
    spacing: tuple[float, float, float]
    voxels: np.ndarray  #: (16, 3), x, y, z from 0; NaN where not visible
    mirrored: bool

    def key(self, spacing: float) -> str:
        """See `pairs.AnyPair`."""
        what = f"{spacing!r} {self.spacing} {self.voxels.tolist()} {self.mirrored}"
        return key_of(what, self.volume)

    def read(self, warn: Callable[[str], object] = lambda sentence: None) -> tuple[Volume, np.ndarray]:
        """See `pairs.AnyPair`."""
        try:
            array = open_voxels(self.volume)
        except FetalPoseError as error:
            raise FetalPoseError(f"{self.volume} cannot be read. {error}") from error
        affine = np.diag([*self.spacing, 1.0])
        affine[0, 0] *= -1 if self.mirrored else 1
        volume = Volume(array, affine)
        return volume, points_inside(volume, volume.grid.to_world(self.voxels), self.volume.name, self.markups)


def is_fpose(folder: str | Path) -> bool:
    """Whether the folder has the layout."""
    return (Path(folder) / ANNOTATIONS).is_dir() and (Path(folder) / VOLUMES).is_dir()


def find_fpose_pairs(folder: str | Path, *, mirrored: bool = False) -> list[FposePair]:
    """The annotated volumes of a folder.

    Raises
    ------
    FetalPoseError
        There is no annotation, an annotation has no volume or two, a file is not as the layout says, or the names of
        the landmarks are not known.
    """
    folder = Path(folder)
    annotations = sorted(path for path in (folder / ANNOTATIONS).glob(f"*{ENDING}") if not path.name.startswith("."))
    if not annotations:
        raise FetalPoseError(f"{folder / ANNOTATIONS} holds no file ID{ENDING}. Put the annotations there.")
    read = [(path, *_annotation(path)) for path in annotations]
    ours = _translation(folder, {name for _, _, places in read for name in places})
    pairs = []
    for path, spacing, places in read:
        stem = path.name[: -len(ENDING)]
        volumes = [v for s in SUFFIXES if (v := folder / VOLUMES / f"{stem}{s}").is_file()]
        if len(volumes) != 1:
            raise FetalPoseError(
                f"{path} needs one volume {folder / VOLUMES / stem}.nii.gz, and there are {len(volumes)}. "
                "Put it there, or take the annotation out."
            )
        voxels = np.full((len(load_skeleton()), 3), np.nan)
        for name, place in places.items():
            if name in ours:
                voxels[load_skeleton().index(ours[name])] = place
        pairs.append(FposePair(stem, volumes[0], path, spacing, voxels, mirrored))
    return pairs


def sides_sentence(mirrored: bool) -> str:
    """What was taken for the handedness, for the user."""
    taken = "mirrored (--mirrored)" if mirrored else "not mirrored: x, y, z form a right-handed system"
    other = "leave --mirrored out" if mirrored else "give --mirrored"
    return (
        f"FPOSE's files do not say whether they mirror the volume. It was taken as {taken}. Left and right depend on "
        f"it: look at one volume whose sides you know, and {other} if they are exchanged."
    )


def _annotation(path: Path) -> tuple[tuple[float, float, float], dict[str, list[float]]]:
    content = _json(path)
    spacing, landmarks = content.get("spacing"), content.get("landmarks")
    values = spacing if isinstance(spacing, list) else [spacing] * 3
    if len(values) != 3 or not all(_is_number(v) and SPACING_MM[0] <= v <= SPACING_MM[1] for v in values):
        raise FetalPoseError(
            f'{path} must state "spacing": the voxels\' size in mm, one number or three for x, y, z, each '
            f"{SPACING_MM[0]:g} to {SPACING_MM[1]:g}; it states {json.dumps(spacing)[:60]}. Correct the file."
        )
    if not isinstance(landmarks, dict) or not landmarks:
        raise FetalPoseError(
            f'{path} has no "landmarks": {{"NAME": [x, y, z], ...}}; it has {listed(list(content)) or "nothing"}. '
            "Correct the file."
        )
    places = {}
    for name, place in landmarks.items():
        if place is None:
            continue
        if not isinstance(place, list) or len(place) != 3 or not all(map(_is_number, place)):
            raise FetalPoseError(
                f"{path}: {listed([name])} is {json.dumps(place)[:60]}, not three numbers x, y, z. Correct the file."
            )
        places[name] = [float(v) for v in place]
    return (float(values[0]), float(values[1]), float(values[2])), places


def _translation(folder: Path, names: set[str]) -> dict[str, str]:
    """From the names in the files to ours; those of other landmarks are left out."""
    known = load_skeleton().landmarks
    ours = {name: landmark_name(name) for name in sorted(names) if landmark_name(name) in known}
    if (folder / NAMES).exists():
        given = _json(folder / NAMES)
        wrong = [name for name, own in given.items() if own not in known]
        if wrong:
            raise FetalPoseError(
                f"{folder / NAMES} translates {listed(wrong)} into no landmark. Give one of {', '.join(known)}."
            )
        ours |= {name: own for name, own in given.items() if name in names}
    twice = [own for own in known if list(ours.values()).count(own) > 1]
    missing = [own for own in known if own not in ours.values()]
    if twice or missing:
        others = sorted(names - set(ours))
        problem = f"Two names stand for {listed(twice)}" if twice else f"No annotation names {listed(missing)}"
        raise FetalPoseError(
            f"{problem} in {folder / ANNOTATIONS}, whose other names are {listed(others) or 'none'}. Say which is "
            f'which in {folder / NAMES}: {{"THEIR NAME": "{(twice or missing)[0]}", ...}}.'
        )
    return ours


def _json(path: Path) -> dict:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FetalPoseError(f"Cannot read {path}: {error.strerror}. Check your rights.") from error
    except (ValueError, RecursionError) as error:
        raise FetalPoseError(f"{path} is no JSON file of this layout. Restore it from a copy.") from error
    if not isinstance(content, dict):
        raise FetalPoseError(f"{path} is no JSON object. Restore it from a copy.")
    return content


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
