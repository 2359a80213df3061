"""Formats that are refused, by name: what to press on the machine instead stands on one page."""

from pathlib import Path

from FetalPoseLib.errors import FetalPoseError

#: The page that tells, machine by machine, how to get a file that can be read.
FORMATS_PAGE = "https://github.com/FetalPose/SlicerFetalPose/blob/main/docs/formats.md"

_SUFFIXES = {
    ".mvl": "a Samsung (Medison) volume, whose format is not public",
    ".cin": "a Mindray cine file, whose format is not public",
    ".frm": "a Mindray image file, whose format is not public",
    ".3dd": "an Ultrasonix sweep of images, not of voxels",
    ".3dv": "an Ultrasonix volume, which is not read yet",
    ".3dus": "a volume for a maker's own Image3dAPI loader",
}


def check_not_foreign(path: str | Path) -> None:
    """Raise FetalPoseError if the file's name is that of a maker's own format that is not read."""
    name = Path(path).name.lower()
    what = _SUFFIXES[".cin"] if name.startswith("bc_cinepartition") else _SUFFIXES.get(Path(name).suffix)
    if what is not None:
        raise FetalPoseError(f"It is {what}. {how_to_export()}")


def how_to_export() -> str:
    """The sentence that ends every refusal of a format."""
    return f"How to get a file that can be read stands in {FORMATS_PAGE}"
