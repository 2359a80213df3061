"""Units of length, as headers spell them."""

from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import NotStatedError

_MM = {
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimetre": 10.0,
    "m": 1000.0, "meter": 1000.0, "metre": 1000.0,
    "um": 1e-3, "\u00b5m": 1e-3, "\u03bcm": 1e-3, "micron": 1e-3, "micrometer": 1e-3, "micrometre": 1e-3,
    "nm": 1e-6, "nanometer": 1e-6, "nanometre": 1e-6,
    "in": 25.4, "inch": 25.4,
}  # fmt: skip
_UNSAID = {"", "?", "???", "none"}


def millimetres(unit: str) -> float:
    """How many mm the unit has; 1 where none is named, which is what the formats say then.

    Raises
    ------
    NotStatedError
        It is no unit of length, such as "pixel".
    """
    name = unit.strip().strip('"').strip()
    if name.lower() in _UNSAID:
        return 1.0
    for spelling in (name, name.lower(), name.lower().rstrip("s"), name.lower().removesuffix("es")):
        if spelling in _MM:
            return _MM[spelling]
    raise NotStatedError(
        f"It states its voxel spacing in '{shown(name)}', which is no unit of length. Write it in mm into the header."
    )
