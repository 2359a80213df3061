"""How good a pose is, and pictures of it: ``metrics``, ``pose_picture``, ``report``.

Imports ``measurement``, ``volume`` and ``body``. A new file here is a measure, a statistic or a picture of poses.
"""
