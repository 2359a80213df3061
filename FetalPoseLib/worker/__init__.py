"""The process that runs the network: ``server`` inside it, ``client`` outside, ``protocol`` what they say.

``codec`` writes the messages of ``protocol`` as JSON, ``voxel_file`` hands the voxels over, ``process`` starts and ends
a child process, ``machine`` knows the devices.

May import `refinement`, `volume`, `body` and `errors`, and in ``server`` alone `estimator`. ``client`` needs no torch:
Slicer's own process imports it. A new file here is a part of the talk between the two processes.
"""
