"""Widgets bound to the parameter node, so that nothing of the binding is left behind."""

from collections.abc import Mapping


class Bindings:
    """Binds widgets to parameters until it is closed.

    3D Slicer 5.10 to 5.11 leave an observer of the node behind in `disconnectGui`; it keeps the wrapper with all its
    own observers, and ends the application when these are collected after *Reload*. So the tags are noted here.

    Parameters
    ----------
    parameters : wrapped parameter node
    widgets : by the name of the parameter
    """

    def __init__(self, parameters, widgets: Mapping[str, object]):
        self._parameters, self._tags = parameters, []
        parameters.AddObserver = self._addObserver  # of this object alone; `connectParametersToGui` calls it
        try:
            self._gui = parameters.connectParametersToGui(dict(widgets))
        finally:
            del parameters.AddObserver

    def close(self) -> None:
        """Let go of the widgets and of the node."""
        self._parameters.disconnectGui(self._gui)
        for tag in self._tags:
            self._parameters.parameterNode.RemoveObserver(tag)
        self._tags.clear()

    def _addObserver(self, event, callback, priority=0.0):
        tag = self._parameters.parameterNode.AddObserver(event, callback, priority)
        self._tags.append(tag)
        return tag
