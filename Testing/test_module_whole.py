"""The module with the real process and the sample volume; what of Slicer and Qt it uses; that its parts agree."""

import ast
import inspect
import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import slicer

from FetalPoseLib import scene as mrml
from FetalPoseLib.worker.client import WorkerClient

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "FetalPose").rglob("*.py"))

# --- the real process


def tiny_model(path: Path) -> Path:
    """A model of the paper's kind with random weights: it finds nothing, but all parts of it run."""
    import torch

    from FetalPoseLib.network.unet import LandmarkNet
    from FetalPoseLib.network.weights import save_model

    torch.manual_seed(0)
    net = LandmarkNet(width=2, levels=2)
    task = {"task": "whole", "spacing_mm": 2.0, "sigma": 1.5, "normalisation": "volume"}
    state = {f"whole.{key}": value for key, value in net.state_dict().items()}
    save_model(path, state, {"kind": "single-pass", "networks": {"whole": {"network": net.config(), "task": task}}})
    return path


def real_process() -> WorkerClient:
    from FetalPoseModuleLib.logic import pythonExecutable, workerEnvironment

    return WorkerClient(pythonExecutable(), workerEnvironment() | {"OMP_NUM_THREADS": "1"})


def test_real_process_estimates_and_the_pose_is_measured(bench):
    bench.panel.logic.client = real_process()
    bench.ui.weightsEdit.currentPath = str(tiny_model(bench.folder / "tiny.safetensors"))
    bench.ui.iterationsSpinBox.value = 1
    bench.ui.refinementComboBox.currentText = "paper"  # which iterates with a single pass, too
    bench.volume()
    bench.ui.estimateButton.click()
    bench.wait(lambda: not bench.session.running, 120)
    assert bench.pose is not None, bench.status
    assert bench.pose.GetAttribute("FetalPose.Iterations") == "1"
    assert bench.pose.GetAttribute("FetalPose.Refinement").startswith("paper")
    bench.assert_lengths_true()
    assert bench.ui.statusLabel.styleSheet and bench.status  # random weights are sure of little, and the panel says so


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_corrupted_weights_are_a_message(bench, content):
    (bench.folder / "bad.safetensors").write_bytes(content)
    bench.panel.logic.client = real_process()
    bench.ui.weightsEdit.currentPath = str(bench.folder / "bad.safetensors")
    bench.volume()
    bench.ui.estimateButton.click()
    bench.wait(lambda: not bench.session.running, 120)
    assert "is not a safetensors file" in bench.status and bench.ui.estimateButton.enabled


# --- sample data


def test_sample_volume_is_offered_and_can_be_estimated(bench, monkeypatch):
    from FetalPoseModuleLib.sampledata import registerSampleData

    offered = []
    register = types.SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=register))
    registerSampleData()
    [source] = offered
    assert source["category"] == "Ultrasound" and Path(source["thumbnailFileName"]).is_file()
    [volume] = source["customDownloader"](None)
    bench.ui.inputSelector.setCurrentNode(volume)
    bench.estimate()
    array = slicer.util.arrayFromVolume(volume)
    voxels = np.linalg.inv(mrml.volume_from_node(volume).ijk_to_ras) @ np.c_[bench.truth, np.ones(16)].T
    assert (voxels[:3].T > 0).all() and (voxels[:3].T < array.shape[::-1]).all()  # the fetus lies in its volume


# --- what the module uses of Slicer, and the host offers

QT = {"QAbstractItemView", "QColor", "QDialog", "QFileDialog", "QHBoxLayout", "QIcon", "QLabel", "QPixmap"}
QT |= {"QPushButton", "QTableWidget", "QTableWidgetItem", "QTimer", "QVBoxLayout", "Qt"}
CTK = {"ctkPathLineEdit"}
APP = {"connect", "processEvents", "userSettings"}
UTIL = {"modulePath", "confirmYesNoDisplay", "loadUI", "childWidgetVariables", "mainWindow", "pip_install"}
UTIL |= {"setSliceViewerLayers", "tryWithErrorDisplay", "VTKObservationMixin"}
WIDGETS = {"qMRMLWidget", "qMRMLNodeComboBox", "ctkCollapsibleButton", "ctkPathLineEdit"}


def used(pattern: str) -> set[str]:
    return {name for path in SOURCES for name in re.findall(pattern, path.read_text(encoding="utf-8"))}


def test_module_uses_of_slicer_only_what_is_listed_here():
    assert used(r"\bqt\.(\w+)") == QT
    assert used(r"\bctk\.(\w+)") == CTK
    assert used(r"\bslicer\.app\.(\w+)") == APP
    assert used(r"\bslicer\.util\.(\w+)") | {"VTKObservationMixin"} == UTIL
    custom = ElementTree.parse(ROOT / "FetalPose/Resources/UI/FetalPose.ui").getroot().find("customwidgets")
    assert {widget.findtext("class") for widget in custom} == WIDGETS


def test_everything_the_ui_names_is_used_and_there(bench):
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for name in set(re.findall(r"\bui\.(\w+)", source)):
        assert hasattr(bench.ui, name), name
    for name in vars(bench.ui):
        if name.endswith(("Button", "Table", "Edit", "Selector")) and not name.startswith(("qt_", "Scroll")):
            assert f"ui.{name}" in source or bench.ui.__dict__[name].property("SlicerParameterName"), name


def test_nothing_in_the_module_knows_of_the_host():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"host", "PySide6", "torch", "safetensors"}, path


def test_every_visible_text_goes_through_translation():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("say", "sayNow"):
                assert not isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"


@pytest.mark.parametrize("part", ["Logic", "Installer", "Dialogs"])
def test_parts_of_the_panel_and_their_stand_ins_are_what_the_protocol_says(slicer_app, part):
    import module_bench

    from FetalPoseModuleLib import dialogs, installer, logic, protocols

    protocol = getattr(protocols, f"{part}Protocol")
    real = {"Logic": logic.FetalPoseLogic, "Installer": installer.Installer, "Dialogs": dialogs.Dialogs}[part]
    methods = {name: method for name, method in vars(protocol).items() if inspect.isfunction(method)}
    methods = {name: method for name, method in methods.items() if not name.startswith("_")}
    assert methods
    for taker in {real, getattr(module_bench, part, real)}:
        for name, method in methods.items():
            wanted, found = (inspect.signature(function).parameters for function in (method, getattr(taker, name)))
            assert [(p.name, p.kind) for p in found.values()] == [(p.name, p.kind) for p in wanted.values()], name


def test_cmake_installs_every_file_of_the_module_and_no_other():
    listed = (ROOT / "FetalPose/CMakeLists.txt").read_text().replace("${MODULE_NAME}", "FetalPose")
    for name in re.findall(r"\S+\.(?:py|ui|png)\b", listed):
        assert (ROOT / "FetalPose" / name).is_file(), name
    for path in SOURCES:
        assert str(path.relative_to(ROOT / "FetalPose")) in listed
    for path in (ROOT / "FetalPose/Resources").rglob("*.*"):
        assert str(path.relative_to(ROOT / "FetalPose")) in listed
