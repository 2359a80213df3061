"""The one exception that a user of FetalPose is meant to read."""


class FetalPoseError(Exception):
    """Something a user can mend: its message says what was wrong, with the value, and how to put it right."""
