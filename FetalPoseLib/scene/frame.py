"""What the transforms above a pose do to lengths: those of the estimator hold where they have not changed since."""

import json

import numpy as np
import vtk

from FetalPoseLib.scene.markups_file import PREFIX

FRAME = PREFIX + "Frame"  # linear part (3, 3) of the transform to the world at the estimate, as JSON; absent: none
RIGID = 1e-4  # by how much a length may change, relative


def keep_frame(node) -> None:
    """Remember the transform to the world under which the estimator's result was put into a pose node."""
    linear = _linear_to_world(node)
    _store(node, np.zeros((3, 3)) if linear is None else linear)


def has_lengths_of_estimate(node) -> bool:
    """Whether a distance in the pose is what it was at the estimate, for landmarks that nobody moved."""
    now, then = _linear_to_world(node), _kept_frame(node)
    if now is None or then is None:
        return False
    change = now @ np.linalg.inv(then)
    return bool(np.abs(change.T @ change - np.eye(3)).max() < 2 * RIGID)


def carry_frame(node, copy) -> None:
    """Keep the answer of `has_lengths_of_estimate` for a copy that has the pose's transform applied to its points."""
    now, then = _linear_to_world(node), _kept_frame(node)
    unknown = np.zeros((3, 3))
    _store(copy, unknown if now is None or then is None else then @ np.linalg.inv(now))


def _store(node, linear: np.ndarray) -> None:
    is_plain = np.allclose(linear, np.eye(3), rtol=0, atol=1e-12)
    node.SetAttribute(FRAME, None if is_plain else json.dumps(linear.tolist()))


def _linear_to_world(node) -> np.ndarray | None:
    """(3, 3); None where a transform bends lengths."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(3)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])


def _kept_frame(node) -> np.ndarray | None:
    text = node.GetAttribute(FRAME)
    if text is None:
        return np.eye(3)
    try:
        linear = np.array(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):  # edited by hand
        return None
    good = linear.shape == (3, 3) and np.isfinite(linear).all() and abs(np.linalg.det(linear)) > 1e-9
    return linear if good else None
