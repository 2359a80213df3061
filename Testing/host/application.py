"""`slicer.app`, `slicer.mrmlScene`, `slicer.modules` and what a module finds in the scene of the application."""

import importlib.util
import os
import sys
import tempfile
import types
from pathlib import Path

import slicer
import slicer.util
import vtk
from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication

from host import pythonqt


@pythonqt.dressed
class ModuleManager(QObject):
    """`slicer.app.moduleManager()`"""

    moduleAboutToBeUnloaded = Signal(str)
    CPP_SIGNALS = ("moduleAboutToBeUnloaded(QString)",)


@pythonqt.dressed
class LayoutManager(QObject):
    """`slicer.app.layoutManager()`: the slice logics; there are no view widgets."""

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()


@pythonqt.dressed
class Application(QApplication):
    """`slicer.app`"""

    startupCompleted = Signal()
    CPP_SIGNALS = ("startupCompleted()",)

    def __init__(self):
        super().__init__(["FetalPose tests"])
        self.setOrganizationName("FetalPose")
        self.setApplicationName("SlicerHost")  # settings of their own
        QSettings.setDefaultFormat(QSettings.IniFormat)
        self._folder = tempfile.TemporaryDirectory()  # and of this run: tests side by side share nothing
        QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, self._folder.name)
        self._modules, self._layouts = ModuleManager(), LayoutManager()
        self._logic = slicer.vtkMRMLApplicationLogic()
        self._testing = True

    def applicationLogic(self):
        return self._logic

    def moduleManager(self):
        return self._modules

    def layoutManager(self):
        return self._layouts

    def settings(self):
        return QSettings()

    def userSettings(self):
        return QSettings()

    def testingEnabled(self) -> bool:
        return self._testing

    def pauseRender(self) -> None:
        self._logic.PauseRender()

    def resumeRender(self) -> None:
        self._logic.ResumeRender()


def start() -> None:
    """What exists once 3D Slicer has started."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    slicer.app = Application()
    slicer.mrmlScene = make_scene(slicer.app.applicationLogic())
    slicer.modules = types.SimpleNamespace()
    _start_logics(slicer.app.applicationLogic())


def _start_logics(application) -> None:
    """The modules Markups and Colors, without which no view draws a point or a grey value."""
    for name, logic in (("Markups", slicer.vtkSlicerMarkupsLogic()), ("Colors", slicer.vtkMRMLColorLogic())):
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(slicer.mrmlScene)
        application.SetModuleLogic(name, logic)
        setattr(slicer.modules, name.lower(), types.SimpleNamespace(logic=lambda logic=logic: logic))


def make_scene(logic):
    """The application's scene, with the views of the layout *Four-Up*."""
    scene = slicer.vtkMRMLScene()
    logic.SetMRMLScene(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    slices = vtk.vtkCollection()
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        node = _view(scene, "vtkMRMLSliceNode", name)
        node.SetOrientation(orientation)
        node.SetDimensions(400, 400, 1)
        node.SetFieldOfView(120, 120, 1)
        slice_logic = slicer.vtkMRMLSliceLogic()
        slice_logic.SetMRMLApplicationLogic(logic)
        slice_logic.SetMRMLScene(scene)
        slice_logic.SetSliceNode(node)
        slices.AddItem(slice_logic)
    logic.SetSliceLogics(slices)
    _view(scene, "vtkMRMLViewNode", "1")
    scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera").SetLayoutName("1")
    return scene


def _view(scene, kind: str, name: str):
    node = scene.CreateNodeByClass(kind)
    node.UnRegister(None)
    node.SetName(name)
    node.SetLayoutName(name)
    node.SetSingletonTag(name)
    return scene.AddNode(node)


def load_module(path: str | Path):
    """Load a scripted module as the factory of 3D Slicer does; its panel. The file's name is the module's."""
    path = Path(path)
    name = path.stem
    sys.path.insert(0, str(path.parent))  # as for every folder of "Additional module paths"
    spec = importlib.util.spec_from_file_location(name, path)
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    spec.loader.exec_module(python)
    module = types.SimpleNamespace(name=name, path=str(path))
    module.self = getattr(python, name)(module)
    panel = None

    def widgetRepresentation():
        nonlocal panel
        if panel is None:
            panel = slicer.qSlicerScriptedLoadableModuleWidget(make)
            panel.setMRMLScene(slicer.mrmlScene)
        return panel

    def make(parent):
        widget = getattr(sys.modules[name], f"{name}Widget")(parent)
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        return widget

    module.widgetRepresentation = widgetRepresentation
    setattr(slicer.modules, name.lower(), module)
    return module
