"""`slicer.parameterNodeWrapper`: typed access to a parameter node, and widgets bound to it both ways.

Only the types and widgets that FetalPose uses are supported; others raise, as an unsupported pair does in Slicer. As
there (Base/Python/slicer/parameterNodeWrapper/wrapper.py and guiConnectors.py), each parameter keeps its value, which
is read again when the parameter node says that it was modified, and observes it until it is deleted. A reference to a
node that comes into the scene later is such a value, and nothing is modified then. Nothing checks what is read; a combo
box refuses a value that is none of its choices. `SLICER` chooses whose faults to have.
"""

import typing
import weakref
from dataclasses import dataclass

import slicer
import slicer.util
import vtk
from PySide6 import QtWidgets

from host.widgets import qMRMLNodeComboBox

PROPERTY = "SlicerParameterName"
SLICER = (5, 12)  # in (5, 10) `disconnectGui` leaves its observer of the node, and by it the wrapper, behind


@dataclass
class Choice:
    """The value must be one of these."""

    choices: list


@dataclass
class WithinRange:
    """The number must lie between these."""

    minimum: float
    maximum: float


@dataclass
class Default:
    value: object


def parameterNodeWrapper(cls):
    """Class decorator: each annotated member becomes a parameter of the wrapped vtkMRMLScriptedModuleNode."""
    hints = typing.get_type_hints(cls, include_extras=True)
    cls.allParameters = {}
    for name, hint in hints.items():
        kind, *annotations = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        parameter = _Parameter(name, kind, annotations, getattr(cls, name, None))
        cls.allParameters[name] = parameter
        setattr(cls, name, property(lambda s, p=parameter: p.read(s), lambda s, v, p=parameter: p.write(s, v)))
    binding = (connectGui, connectParametersToGui, disconnectGui)
    for method in (_init, *binding, StartModify, EndModify, AddObserver, RemoveObserver):
        setattr(cls, "__init__" if method is _init else method.__name__, method)
    return cls


class _Parameter:
    def __init__(self, name: str, kind: type, annotations: list, default):
        self.name, self.kind = name, kind
        self.choices = next((a.choices for a in annotations if isinstance(a, Choice)), None)
        self.range = next((a for a in annotations if isinstance(a, WithinRange)), None)
        self.is_node = isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)
        if not self.is_node and kind not in (int, float, bool, str):
            raise TypeError(f"unable to create serializer for member {name} of type {kind}")
        annotated = next((a.value for a in annotations if isinstance(a, Default)), None)
        self.default = next((v for v in (default, annotated) if v is not None), None if self.is_node else kind())

    def is_in(self, node) -> bool:
        return bool(node.HasNodeReferenceID(self.name)) if self.is_node else bool(node.HasParameter(self.name))

    def read(self, wrapper):
        return wrapper._cached[self.name].value

    def stored(self, node):
        """The value in a parameter node; the default is put there if there is none."""
        if self.is_node:
            return node.GetNodeReference(self.name)
        if not self.is_in(node):
            node.SetParameter(self.name, str(self.default))
        text = node.GetParameter(self.name)
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, wrapper, value) -> None:
        node = wrapper.parameterNode
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} must be a {self.kind.__name__}, got {value!r}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            wrapper._cached[self.name].update()
            return
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name} must be {self.kind.__name__}, got {value!r}")
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{self.name} must be one of {self.choices}, got {value!r}")
        if self.range is not None and not self.range.minimum <= value <= self.range.maximum:
            raise ValueError(f"{self.name} must lie in {self.range.minimum}..{self.range.maximum}, got {value!r}")
        node.SetParameter(self.name, str(value))


class _Cached:
    """A parameter's value, read again whenever the node changes; it observes the node until it is deleted."""

    def __init__(self, parameter: _Parameter, node):
        self.parameter, self.node, self.value = parameter, node, parameter.stored(node)
        itself = weakref.ref(self)
        self.tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: itself().update())

    def update(self) -> None:
        self.value = self.parameter.stored(self.node)

    def __del__(self):
        self.node.RemoveObserver(self.tag)


def _init(self, parameterNode):
    self.parameterNode, self._guis, self._next_tag, self._updating = parameterNode, {}, 0, False
    self._cached = {name: _Cached(parameter, parameterNode) for name, parameter in self.allParameters.items()}


def connectGui(self, gui) -> int:
    """Bind every widget of `gui` (from `childWidgetVariables`) with the property SlicerParameterName; the tag."""
    named = {widget.property(PROPERTY): widget for widget in vars(gui).values()}
    return connectParametersToGui(self, {name: widget for name, widget in named.items() if name})


def connectParametersToGui(self, mapping: dict) -> int:
    """Bind widgets to the parameters that are their keys; returns a tag for `disconnectGui`."""
    for name in mapping:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
    bound = {name: _connector(widget, self.allParameters[name]) for name, widget in mapping.items()}
    for name, connector in bound.items():
        connector.write(getattr(self, name))
        connector.connect(_to_parameter(self, name, connector))
    tag = self._next_tag
    self._next_tag += 1
    observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _to_gui(self))
    self._guis[tag] = bound, observer
    return tag


def disconnectGui(self, tag: int) -> None:
    """In Slicer too, the widgets are let go of, and no longer change the parameters."""
    bound, observer = self._guis.pop(tag, ({}, None))
    for connector in bound.values():
        connector.disconnect()
    if observer is not None and SLICER >= (5, 12):
        self.RemoveObserver(observer)


def _to_parameter(self, name: str, connector):
    def changed():
        if not self._updating:
            with slicer.util.NodeModify(self.parameterNode):
                setattr(self, name, connector.read())

    return changed


def _to_gui(self) -> None:
    if self._updating:
        return
    self._updating = True
    try:
        for connectors, _observer in list(self._guis.values()):
            for name, connector in connectors.items():
                connector.write(getattr(self, name))
    finally:
        self._updating = False


def StartModify(self):
    return self.parameterNode.StartModify()


def EndModify(self, was):
    return self.parameterNode.EndModify(was)


def AddObserver(self, event, callback, priority=0.0):
    return self.parameterNode.AddObserver(event, callback, priority)


def RemoveObserver(self, tag):
    return self.parameterNode.RemoveObserver(tag)


class _Connector:
    """A widget as a value: `signal` says when it changed."""

    def __init__(self, signal, read, write):
        self._signal, self.read, self.write, self._slot = signal, read, write, None

    def connect(self, slot) -> None:
        self._slot = lambda *_: slot()
        self._signal.connect(self._slot)

    def disconnect(self) -> None:
        self._signal.disconnect(self._slot)


def _connector(widget, parameter: _Parameter) -> _Connector:
    def writer(name):
        return lambda value: setattr(widget, name, value)

    if type(widget) is QtWidgets.QCheckBox and parameter.kind is bool:
        return _Connector(widget.toggled, lambda: widget.checked, writer("checked"))
    if type(widget) is QtWidgets.QLineEdit and parameter.kind is str:
        return _Connector(widget.textChanged, lambda: widget.text, writer("text"))
    if type(widget) is QtWidgets.QSpinBox and parameter.kind is int:
        if parameter.range is not None:
            widget.setRange(parameter.range.minimum, parameter.range.maximum)
        return _Connector(widget.valueChanged, lambda: widget.value, writer("value"))
    if type(widget) is QtWidgets.QComboBox and parameter.choices is not None:
        widget.clear()
        for choice in parameter.choices:
            widget.addItem(str(choice))
        return _Connector(
            widget.currentIndexChanged,
            lambda: parameter.choices[widget.currentIndex],
            lambda value: setattr(widget, "currentIndex", parameter.choices.index(value)),  # ValueError if unknown
        )
    if isinstance(widget, qMRMLNodeComboBox) and parameter.is_node:
        widget.nodeTypes = [parameter.kind.__name__]
        return _Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.kind}' to widget '{type(widget)}'")
