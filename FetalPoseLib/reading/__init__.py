"""Files to volumes: headers, DICOM, Kretz. Returns arrays and geometry with what the file leaves open; imports neither
``slicer`` nor ``vtk`` nor ``torch``.
"""
