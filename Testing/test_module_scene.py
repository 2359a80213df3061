"""A scene file of someone else's: no value of its parameter node is taken that the panel does not offer."""

import pytest
import slicer


def scene_file(bench, path, **values) -> str:
    """A scene that was saved with the module open, with other texts in its parameter node."""
    bench.panel.logic.getParameterNode()
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.Commit(str(path))
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        before = bench.panel.logic.getParameterNode().parameterNode.GetParameter(name)
        assert f"{name} {before}" in text
        text = text.replace(f"{name} {before}", f"{name} {value}")
    path.write_text(text, encoding="utf-8")
    return str(path)


def imported(bench, path: str) -> None:
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Import()


def raw(bench):
    return bench.panel.logic.getParameterNode().parameterNode


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "/tmp/theirs.safetensors"), ("model", "../../theirs.safetensors"), ("model", "Fetal-frame"),
        ("spacing", "0.01"), ("refinement", "none"), ("iterations", "1e9"), ("iterations", "-1"),
        ("neighbours", "0"), ("neighbours", "9" * 4000), ("mirrored", "maybe"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_offered_becomes_the_default_and_is_said(bench, name, value):
    default = raw(bench).GetParameter(name)
    bench.panel._unbind()  # as while a scene is imported
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScriptedModuleNode").SetParameter(name, value)
    bench.panel._onSceneEnd(None, None)
    assert raw(bench).GetParameter(name) == default
    assert f"{name} '{value[:40]}" in bench.status and bench.ui.statusLabel.styleSheet and len(bench.status) < 400


def test_the_network_is_asked_for_a_bundled_model_whatever_the_scene_file_says(bench, tmp_path):
    theirs = tmp_path / "theirs.safetensors"
    theirs.write_bytes(b"theirs")
    path = scene_file(bench, tmp_path / "theirs.mrml", model=str(theirs))
    assert str(theirs) in (tmp_path / "theirs.mrml").read_text(encoding="utf-8")
    imported(bench, path)
    assert "not offered here" in bench.status and str(theirs)[:40] in bench.status
    bench.volume()
    bench.estimate()
    assert {request.options.model for request in bench.requests() if hasattr(request, "options")} == {"fetal-frame"}


def test_what_the_panel_offers_comes_back_with_the_scene(bench, tmp_path):
    path = scene_file(bench, tmp_path / "ours.mrml", iterations="3", neighbours="7")
    imported(bench, path)
    assert (bench.ui.iterationsSpinBox.value, bench.ui.neighboursSpinBox.value) == (3, 7)
    assert "not offered" not in bench.status


def test_a_node_of_another_kind_is_not_taken_for_a_volume(bench):
    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Placenta")
    bench.panel._unbind()
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScriptedModuleNode").SetNodeReferenceID("inputVolume", model.GetID())
    bench.panel._onSceneEnd(None, None)
    assert bench.panel.parameters.inputVolume is None and "'Placenta'" in bench.status
