"""How good a pose is, and what it looks like: ``metrics``, ``pairs``, ``report``, ``pose_picture``, ``pose_report``.

May import `measurement`, `volume`, `body`, `files` and `errors`. A new file here is a measure, a statistic, a report
or a picture of poses.
"""
