"""How good a pose is, in numbers, text and pictures: ``metrics``, ``pairs``, ``report``, ``pose_picture``.

May import `volume`, `body`, `files` and `errors`. A new file here is a measure, a statistic, a report or a picture of
poses.
"""
