"""What the tests of the scene share: points, and the lengths on a node."""

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton

SKELETON = load_skeleton()
POINTS = np.random.default_rng(3).normal(0, 20, (16, 3))


def lengths_on(node) -> np.ndarray:
    measurements = [node.GetMeasurement(segment.name) for segment in SKELETON.segments]
    return np.array([m.GetValue() if m.GetValueDefined() else np.nan for m in measurements])


def assert_lengths_true(node):
    np.testing.assert_allclose(lengths_on(node), segment_lengths(mrml.points_of(node)), atol=1e-9)


def index(name):
    return SKELETON.index(name)


def drag(pose, name, *path):
    """What the markups widget of a view does from press to release."""
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    for point in path:
        pose.SetNthControlPointPositionWorld(index(name), *map(float, point))
    pose.InvokeEvent(pose.PointEndInteractionEvent)
