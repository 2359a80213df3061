"""The Slicer side of the module: an adapter between `FetalPoseLib.session` and what 3D Slicer has of its own.

The parameter node becomes `Settings` (`parameters`), a timer calls `poll` (`logic`), signals and rows become widgets
(`widget`, `posepanel`, `tables`, `statusline`), clicks become calls (`actions`). Nothing here computes anything about a
pose, or decides what can be clicked.
"""
