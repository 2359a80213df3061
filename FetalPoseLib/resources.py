"""Where the files that travel with the code are found."""

from pathlib import Path

from FetalPoseLib.errors import FetalPoseError

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "Resources", _PACKAGE.parent / "Resources")  # installed wheel or Slicer module; then a checkout


def resource_path(*parts: str) -> Path:
    """Path of a bundled file or folder, ``resource_path("models", "manifest.json")``.

    Raises
    ------
    FetalPoseError
        Neither an installed package nor a checkout holds it.
    """
    for root in _ROOTS:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    tried = " and ".join(str(root) for root in _ROOTS)
    raise FetalPoseError(f"The bundled file '{'/'.join(parts)}' is missing; looked in {tried}. Reinstall FetalPose.")
