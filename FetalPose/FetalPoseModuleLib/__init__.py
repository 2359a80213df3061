"""The parts of the Slicer module that need Qt or the application. Nothing here computes anything about a pose."""
