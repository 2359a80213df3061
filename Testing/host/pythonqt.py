"""PySide6 made to look like PythonQt, through which 3D Slicer offers Qt to Python as the module `qt`.

The difference that matters is properties. In PythonQt, `label.text` is the text and `label.text = "x"` sets it; in
PySide6 `text` is a method. Every Qt property of every class becomes a Python property here, so code that calls
`label.text()` fails as it does in Slicer. Classes written here also connect by signature, `app.connect("f()", f)`.
"""

import types
import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

# Hints are virtual, and PySide6 would take a property for an override; `singleShot` is a static function as well.
_METHODS = ("sizeHint", "minimumSizeHint", "singleShot")


def build() -> types.ModuleType:
    """The module `qt`; changes PySide6's classes for this process."""
    qt = types.ModuleType("qt", __doc__)
    for library in (QtCore, QtGui, QtWidgets):
        for name in dir(library):  # PySide6 makes its classes when they are first asked for
            if not name.startswith("_"):
                setattr(qt, name, getattr(library, name))
    for value in vars(qt).copy().values():
        if isinstance(value, type) and issubclass(value, QtCore.QObject):
            _make_properties(value)
    QtCore.QObject.name = _property("objectName")
    qt.QUiLoader = UiLoader
    qt.QFileDialog = FileDialog
    return qt


def dressed(cls: type) -> type:
    """Give a class of ours PythonQt's way to connect. PySide6 lets no one change that of its own classes."""
    cls.connect, cls.disconnect = _connect, _disconnect
    return cls


def _property(name: str) -> property:
    def write(widget, value):
        if not widget.setProperty(name, value):
            raise AttributeError(f"cannot set the property '{name}' of {type(widget).__name__} to {value!r}")

    return property(lambda widget: widget.property(name), write)


def _make_properties(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _METHODS:
            setattr(cls, name, _property(name))


_qt_connect, _qt_disconnect = QtCore.QObject.connect, QtCore.QObject.disconnect


def _connect(sender, *arguments):
    """PythonQt's `sender.connect("startupCompleted()", slot)`; RuntimeError for a signal the class does not have."""
    if len(arguments) > 2:  # PySide6 itself, from `signal.connect`
        return _qt_connect(*arguments)
    signature, slot = arguments
    return _known(sender, signature).connect(slot)


def _disconnect(sender, *arguments):
    if len(arguments) > 2:
        return _qt_disconnect(*arguments)
    signature, slot = arguments
    return _known(sender, signature).disconnect(slot)


def _known(sender, signature: str):
    if signature not in sender.CPP_SIGNALS:  # as in C++, where the arguments' types are Slicer's
        raise RuntimeError(f"signal '{signature}' does not exist on {type(sender).__name__}")
    return getattr(sender, signature.split("(")[0])


class UiLoader(QtUiTools.QUiLoader):
    """Knows the custom widgets, and makes connections between them that QUiLoader has no signatures for."""

    def __init__(self):
        super().__init__()
        from host import ctk_widgets, widgets

        for widget in (*ctk_widgets.CTK_WIDGETS, *widgets.MRML_WIDGETS):
            self.registerCustomWidget(widget)

    def load(self, file):
        root = ElementTree.fromstring(bytes(file.readAll()))
        connections = root.find("connections")
        made = [] if connections is None else list(connections)
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QBuffer.ReadOnly)
        widget = super().load(buffer)
        for connection in made:
            ends = {part.tag: part.text for part in connection}
            sender, receiver = (self._named(widget, ends[end]) for end in ("sender", "receiver"))
            sender.connect(ends["signal"], getattr(receiver, ends["slot"].split("(")[0]))
        return widget

    @staticmethod
    def _named(root, name: str):
        found = root if root.objectName == name else root.findChild(QtWidgets.QWidget, name)
        if found is None:
            raise RuntimeError(f"the .ui connects '{name}', which it does not contain")
        return found


class FileDialog(QtWidgets.QFileDialog):
    """PythonQt's static functions return the name alone."""

    @staticmethod
    def getOpenFileName(*arguments) -> str:
        return QtWidgets.QFileDialog.getOpenFileName(*arguments)[0]

    @staticmethod
    def getSaveFileName(*arguments) -> str:
        return QtWidgets.QFileDialog.getSaveFileName(*arguments)[0]
