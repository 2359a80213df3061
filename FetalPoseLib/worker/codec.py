"""Dataclasses as JSON holds them, and back, each field of the type that the dataclass says. JSON has no NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from FetalPoseLib.body.estimate import points_of_rows, rows_of_points


def plain_of_dataclass(message, skip: str = "") -> dict:
    """The fields of a dataclass, without the one called ``skip``, as JSON holds them."""
    values = {field.name: getattr(message, field.name) for field in fields(message) if field.name != skip}
    return {
        name: ARRAYS[name].encode(value) if name in ARRAYS else _plain_value(value) for name, value in values.items()
    }


def _plain_value(value):
    if is_dataclass(value):
        return plain_of_dataclass(value)
    return [_plain_value(item) for item in value] if isinstance(value, list | tuple) else value


def dataclass_of_plain(cls: type, values: dict):
    """The dataclass whose fields ``values`` holds; TypeError or ValueError if a field is of another type."""
    hints = get_type_hints(cls)
    if not isinstance(values, dict):
        raise TypeError(f"{cls.__name__} is {values!r}")
    unknown = values.keys() - hints.keys()
    if unknown:
        raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
    return cls(**{name: _value(name, hints[name], value) for name, value in values.items()})


def _value(name: str, hint, value):
    if name in ARRAYS:
        return ARRAYS[name].decode(value)
    if get_origin(hint) in (Union, UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return dataclass_of_plain(hint, value)
    if get_origin(hint) in (tuple, list):
        if not isinstance(value, list):
            raise TypeError(f"{name} is {value!r}, not a list")
        return get_origin(hint)(_value(name, get_args(hint)[0], item) for item in value)
    if get_origin(hint) is dict:
        key_hint, item_hint = get_args(hint)
        return {_value(name, key_hint, key): _value(name, item_hint, item) for key, item in value.items()}
    allowed = (int, float) if hint is float else hint
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"{name} is {value!r}, not {hint.__name__}")
    return value


# arrays


@dataclass(frozen=True)
class ArrayCodec:
    """How an array is written in JSON and read from it."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _optional(encode: Callable, decode: Callable) -> ArrayCodec:
    """The same for an array that may be None."""
    return ArrayCodec(
        lambda value: None if value is None else encode(value), lambda value: None if value is None else decode(value)
    )


def _numbers(value: np.ndarray) -> list[float | None]:
    return [number if np.isfinite(number) else None for number in np.asarray(value, dtype=np.float64).tolist()]


def _numbers_read(value: list) -> np.ndarray:
    return np.array([np.nan if number is None else number for number in value], dtype=np.float64)


def _points_read(value: list) -> np.ndarray:
    points = points_of_rows(value)
    if points.shape[1:] != (3,):
        raise ValueError(f"points have the shape {points.shape}, not (N, 3)")
    return points


def _pairs_read(value: list) -> np.ndarray:
    pairs = np.array([[np.nan] * 2 if pair is None else pair for pair in value], dtype=np.float64)
    if pairs.shape[1:] != (2,):
        raise ValueError(f"intervals have the shape {pairs.shape}, not (N, 2)")
    return pairs


def _exact(value: np.ndarray) -> list:
    return np.asarray(value, dtype=np.float64).tolist()


def _angles_read(value: list) -> np.ndarray:
    angles = np.array(value, dtype=np.float64)
    if angles.ndim != 1:
        raise ValueError(f"angles have the shape {angles.shape}, not (N,)")
    return angles


def _matrix_read(value: list) -> np.ndarray:
    matrix = np.array(value, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"a matrix has the shape {matrix.shape}, not (4, 4)")
    return matrix


def _placed(value: Mapping[int, np.ndarray]) -> dict[str, list[float]]:
    return {str(landmark): np.asarray(point, dtype=np.float64).tolist() for landmark, point in value.items()}


def _placed_read(value: dict) -> dict[int, np.ndarray]:
    placed = {int(landmark): np.array(point, dtype=np.float64) for landmark, point in value.items()}
    for landmark, point in placed.items():
        if point.shape != (3,) or not np.isfinite(point).all():
            raise ValueError(f"the placed landmark {landmark} is at {point.tolist()}, not at three coordinates")
    return placed


_POINTS = _optional(rows_of_points, _points_read)

#: By the field's name, the same in all messages.
ARRAYS: dict[str, ArrayCodec] = {
    "points": _POINTS,
    "unrefined": _POINTS,
    "start": _POINTS,
    "confidence": _optional(_numbers, _numbers_read),
    "radius_mm": _optional(_numbers, _numbers_read),
    "length_interval_mm": _optional(rows_of_points, _pairs_read),
    "ijk_to_ras": _optional(_exact, _matrix_read),
    "probe_to_ras": ArrayCodec(_exact, _matrix_read),
    "theta": ArrayCodec(_exact, _angles_read),
    "phi": ArrayCodec(_exact, _angles_read),
    "placed": ArrayCodec(_placed, _placed_read),
}
