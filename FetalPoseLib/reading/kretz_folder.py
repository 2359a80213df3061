"""A GE Kretz volume among the files of an exam, where Voluson machines put it beside pictures and films."""

from pathlib import Path

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.reading.dicom_files import files_in
from FetalPoseLib.reading.kretz_wrappers import is_kretz
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.read import look, named


def kretz_in(folder: Path) -> Path | None:
    """The one Kretz volume in a folder or its subfolders; None where there is none.

    Pictures and films beside it are passed over: they are no volumes.

    Raises
    ------
    FetalPoseError
        There are several, or one beside a DICOM series that is a volume, too; or a folder may not be read.
    """
    found = [path for path in named(folder, lambda: files_in(folder)) if is_kretz(path)]
    if len(found) > 1:
        names = listed([path.relative_to(folder) for path in found])
        raise FetalPoseError(f"{shown(folder)} holds {len(found)} GE Kretz volumes ({names}). Choose one of the files.")
    if found and _is_series(folder):
        raise FetalPoseError(
            f"{shown(folder)} holds two volumes: {listed([found[0].relative_to(folder)])}, a GE Kretz volume, and a "
            "DICOM series. Choose the file, or put the series in a folder of its own."
        )
    return found[0] if found else None


def _is_series(folder: Path) -> bool:
    try:
        look(folder)
    except FetalPoseError:
        return False
    return True
