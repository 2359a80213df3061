"""The process that runs the network: ``server`` inside it, ``client`` outside.

``client`` needs no torch: Slicer's own process imports it. ``server`` imports ``estimator``. A new file here is a
part of the talk between the two.
"""
