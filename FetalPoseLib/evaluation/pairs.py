"""Which pose belongs to which truth: two files, or the files of the same names in two folders."""

from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError

SUFFIX = ".mrk.json"


@dataclass(frozen=True)
class Pairs:
    """Files that belong together.

    Attributes
    ----------
    files : tuple of (Path, Path)
        A pose and its truth, by name. There is at least one.
    without_truth : tuple of str
        Names of the poses that have no truth, and are left out.
    """

    files: tuple[tuple[Path, Path], ...]
    without_truth: tuple[str, ...] = ()


def find_pairs(predicted: Path, truth: Path) -> Pairs:
    """The pairs of two `.mrk.json` files or of two folders of them.

    Raises
    ------
    FetalPoseError
        One of the two does not exist, one is a file and the other a folder, the folder of the truths holds no truth, or
        a truth has no pose.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise FetalPoseError(f"{path} does not exist. Check its name.")
    if predicted.is_dir() != truth.is_dir():
        raise FetalPoseError(f"{predicted} and {truth} must be two files or two folders.")
    if not truth.is_dir():
        return Pairs(((predicted, truth),))
    names = _names(truth)
    if not names:
        raise FetalPoseError(f"The folder {truth} holds no {SUFFIX} files. Choose the folder of the truths.")
    missing = [name for name in names if not (predicted / name).is_file()]
    if missing:
        raise FetalPoseError(
            f"{len(missing)} of {len(names)} truths have no pose of the same name in {predicted}, the first is "
            f"{missing[0]}. Add the poses, or take those truths out."
        )
    without_truth = tuple(name for name in _names(predicted) if name not in set(names))
    return Pairs(tuple((predicted / name, truth / name) for name in names), without_truth)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(SUFFIX))
