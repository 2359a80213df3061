"""What the tests of version 2 of the simulator share."""

from dataclasses import replace

import numpy as np

from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.posture import Posture

COUNT = 160
FLUID, BONY = 1.52, 2.2  # MRayl


def body_of(seed=3, weeks=12.0, posture=None, build=None):
    rng = np.random.default_rng(seed)
    biometry = replace(draw_biometry(rng, weeks=weeks, size_z=0.0), build=build or Build())
    return pose_body(rng, biometry, posture or Posture())
