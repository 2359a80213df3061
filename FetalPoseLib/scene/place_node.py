"""The list that the next placed point goes into: 3D Slicer makes every markups list that is added that one."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_place_node(scene) -> Iterator[None]:
    """Add markups within, and a person's next point goes into the same list as before.

    Parameters
    ----------
    scene : vtkMRMLScene
        Outside the application it has no selection node; then there is nothing to keep.
    """
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if selection is None:
        yield
        return
    kind, identifier = selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()
    try:
        yield
    finally:
        if selection.GetActivePlaceNodeID() != identifier:
            selection.SetReferenceActivePlaceNodeClassName(kind)
            selection.SetReferenceActivePlaceNodeID(identifier)
