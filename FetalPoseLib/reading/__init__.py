"""Files to volumes: arrays and geometry, with what the file leaves open.

``read`` recognises a format by a file's first bytes; a file per format reads its header, ``voxels`` and ``streams``
take what the header states. ``doubts`` lists what a person must check, ``refusals`` why a file is not read.

May import `volume` and `errors`, and none of slicer, vtk and torch. A new file here is one more format, or a part of
one.
"""
