"""The widgets of Slicer that FetalPose.ui names: each does on the real scene what it does there."""

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from host.pythonqt import dressed


@dressed
class qMRMLWidget(QWidget):
    """A widget that knows the scene and tells those it is connected to."""

    mrmlSceneChanged = Signal(object)
    CPP_SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@dressed
class qMRMLNodeComboBox(QWidget):
    """Chooses a node of certain types; lists those in the scene as they come, go and change their names."""

    currentNodeChanged = Signal(object)
    CPP_SIGNALS = ("currentNodeChanged(vtkMRMLNode*)",)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._tags, self._nodes = None, [], []
        self._node = None
        self._options = {"noneEnabled": False, "addEnabled": True, "removeEnabled": True, "renameEnabled": False}
        self._options |= {"editEnabled": False, "showHidden": False, "showChildNodeTypes": True}
        self._options |= {"selectNodeUponCreation": True, "noneDisplay": "", "nodeTypes": [], "baseName": ""}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._box = QComboBox(self)
        layout.addWidget(self._box)
        self._box.activated.connect(lambda index: self.setCurrentNode(self._nodes[index]))

    # the scene

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            self._tags = [
                scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._onNodeAdded),
                scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved),
                scene.AddObserver(slicer.vtkMRMLScene.EndBatchProcessEvent, lambda *_: self._fill()),
            ]
        self._fill()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _scene, _event, node) -> None:
        if self._wanted(node):
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._rename())
            self._fill()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _scene, _event, node) -> None:
        if node in self._nodes:
            self._fill(without=node)

    def _wanted(self, node) -> bool:
        kinds = self._options["nodeTypes"]
        fits = any(
            node.IsA(kind) if self._options["showChildNodeTypes"] else node.GetClassName() == kind for kind in kinds
        )
        return fits and (self._options["showHidden"] or not node.GetHideFromEditors()) and self._unfiltered(node)

    def _unfiltered(self, node) -> bool:
        attributes = self._options.get("attributes", {})
        return all(node.IsA(kind) <= (node.GetAttribute(name) == value) for (kind, name), value in attributes.items())

    def _fill(self, without=None) -> None:
        scene = self._scene
        nodes = [] if scene is None else [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        self._nodes = [node for node in nodes if node is not without and self._wanted(node)]
        if self._options["noneEnabled"]:
            self._nodes.insert(0, None)
        self._box.clear()
        for node in self._nodes:
            self._box.addItem(self._options["noneDisplay"] or "None" if node is None else node.GetName())
        if self._node is not None and self._node not in self._nodes:
            self._select(None)
        if self._node is None and not self._options["noneEnabled"] and self._nodes:
            self._select(self._nodes[0])  # as Slicer's: without "None", the first node is chosen
        self._show()

    def _rename(self) -> None:
        for index, node in enumerate(self._nodes):
            if node is not None:
                self._box.setItemText(index, node.GetName())

    # the choice

    def currentNode(self):
        return self._node

    @property
    def currentNodeID(self) -> str:
        return "" if self._node is None else self._node.GetID()

    def setCurrentNode(self, node) -> None:
        if node is not None and node not in self._nodes:
            node = None
        if node is not self._node:
            self._select(node)
            self._show()

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier else None)

    def _select(self, node) -> None:
        self._node = node
        self.currentNodeChanged.emit(node)

    def _show(self) -> None:
        self._box.setCurrentIndex(self._nodes.index(self._node) if self._node in self._nodes else -1)

    def nodeCount(self) -> int:
        return len(self._nodes) - self._options["noneEnabled"]

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        self._options.setdefault("attributes", {})[nodeType, name] = value
        self._fill()

    def _option(kind, name):  # noqa: N805 - makes the properties of the class
        def write(self, value):
            self._options[name] = list(value) if kind == "QStringList" else value
            self._fill()

        return Property(kind, lambda self: self._options[name], write)

    nodeTypes = _option("QStringList", "nodeTypes")
    noneEnabled = _option(bool, "noneEnabled")
    addEnabled = _option(bool, "addEnabled")
    removeEnabled = _option(bool, "removeEnabled")
    renameEnabled = _option(bool, "renameEnabled")
    editEnabled = _option(bool, "editEnabled")
    showHidden = _option(bool, "showHidden")
    showChildNodeTypes = _option(bool, "showChildNodeTypes")
    selectNodeUponCreation = _option(bool, "selectNodeUponCreation")
    noneDisplay = _option(str, "noneDisplay")
    baseName = _option(str, "baseName")


@dressed
class qSlicerWidget(qMRMLWidget):
    """A qMRMLWidget, as the root of a module's .ui."""


@dressed
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The panel in which the application shows a scripted module; `self()` is the module's own widget object.

    `isEntered` is true while it is the panel that is shown (Base/QTGUI/qSlicerAbstractModuleWidget.h).
    """

    def __init__(self, make):
        super().__init__()
        self._make, self._self, self._entered = make, None, False
        self.setLayout(QVBoxLayout())
        self.reload()

    def reload(self) -> None:
        self._self = self._make(self)

    def self(self):
        return self._self

    def enter(self) -> None:
        self._entered = True
        self._self.enter()

    def exit(self) -> None:
        self._entered = False
        self._self.exit()

    isEntered = Property(bool, lambda self: self._entered)


MRML_WIDGETS = (qMRMLWidget, qMRMLNodeComboBox, qSlicerWidget, qSlicerScriptedLoadableModuleWidget)
