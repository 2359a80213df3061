"""Volumes and grids: ``grid``, ``probe_volume`` and ``probe_resampling`` in numpy; ``resampling``, ``intensity`` and
``axis_turns`` with torch.

May import `body` and `errors`. A new file here is one more way to read a volume at other points.
"""
