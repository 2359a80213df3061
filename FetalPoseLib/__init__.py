"""FetalPose: the pose of a fetus in a 3D ultrasound volume, as 16 landmarks joined by 15 segments.

The public face. Its names are imported when they are first used, so that ``import FetalPoseLib`` needs neither torch
nor MRML:

>>> import FetalPoseLib
>>> estimator = FetalPoseLib.Estimator()
>>> estimate = estimator.estimate(FetalPoseLib.read_volume("volume.nrrd"))
>>> estimate.points  # (16, 3) RAS mm

The other rooms are imported by their own names, for example ``FetalPoseLib.body.measurements``.
"""

from importlib import import_module

__version__ = "0.1.0"

#: name: the module that defines it. `__init__.pyi` says the same to type checkers.
_DEFINED_IN = {
    "Estimate": "FetalPoseLib.body.estimate",
    "Estimator": "FetalPoseLib.estimator",
    "FetalPoseError": "FetalPoseLib.errors",
    "PoseLibrary": "FetalPoseLib.body.pose_library",
    "Skeleton": "FetalPoseLib.body.skeleton",
    "Volume": "FetalPoseLib.volume.grid",
    "read_volume": "FetalPoseLib.scene.volume_file",
}

__all__ = ["__version__", *_DEFINED_IN]


def __getattr__(name: str):
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_DEFINED_IN[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
