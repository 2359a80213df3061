"""DICOM images whose compression pydicom does not know, decoded by ITK."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy


def decode_dicom(path: Path) -> np.ndarray | None:
    """The pixels (frames, rows, columns, samples) of one DICOM file; None if ITK cannot read it.

    Only the pixels are taken: where they lie, `reading` knows from the header.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:  # ITK takes UTF-8 only
        return None
    for reader in (
        slicer.vtkITKArchetypeImageSeriesScalarReader(),
        slicer.vtkITKArchetypeImageSeriesVectorReaderSeries(),
    ):
        reader.SetArchetype(str(path))
        reader.SetSingleFile(1)
        reader.SetOutputScalarTypeToNative()
        reader.SetDesiredCoordinateOrientationToNative()
        with _quiet():
            reader.Update()
        image = reader.GetOutput()
        if not reader.GetErrorCode() and image is not None and image.GetNumberOfPoints():
            columns, rows, frames = image.GetDimensions()
            return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(frames, rows, columns, -1).copy()
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ITK's decoders write to standard error by themselves from the user, who gets one message."""
    try:
        kept = os.dup(2)
    except OSError:  # an application without a terminal
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
