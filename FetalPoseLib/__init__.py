"""FetalPose: the pose of a fetus in a 3D ultrasound volume, as 16 landmarks joined by 15 segments."""

__version__ = "0.1.0"
