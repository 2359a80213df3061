"""GE Kretz files in the module: the reader for *Add data*, and that the network gets the probe's own samples."""

import types

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from kretz_files import PROBE_VOLUME, dicom, kretz, toroidal, toroidal_items, zipped

from FetalPoseLib import scene as mrml
from FetalPoseLib.reading.kretz import read_kretz


class Parent:
    """What Slicer's own reader object offers its Python half."""

    def __init__(self):
        self.loadedNodes, self.messages = [], vtk.vtkStringArray()
        self.said = []

    def userMessages(self):
        return types.SimpleNamespace(AddMessage=lambda event, text: self.said.append((event, text)))


@pytest.fixture
def reader(slicer_app):
    """The reader as Slicer makes it: the class of this name in the module's own file."""
    from FetalPose import FetalPoseFileReader

    return FetalPoseFileReader(Parent())


@pytest.fixture
def kretz_file(tmp_path):
    path = tmp_path / "fetus.vol"
    path.write_bytes(kretz(toroidal()))
    return path


@pytest.mark.parametrize(
    ("name", "content", "confidence"),
    [
        ("a.vol", kretz(toroidal()), 0.8), ("a.v00", kretz(toroidal()), 0.8), ("a", kretz(toroidal()), 0.8),
        ("a.dcm", dicom(kretz(toroidal())), 0.8), ("a.4dv", zipped(kretz(toroidal())), 0.8),
        ("a.dcm", dicom(b"", creator=b"OTHER"), 0.0), ("a.vol", b"no Kretz file", 0.0), ("a.nrrd", b"NRRD0004", 0.0),
    ],
)  # fmt: skip
def test_what_holds_a_kretz_volume_is_offered_whatever_its_name(reader, tmp_path, name, content, confidence):
    path = tmp_path / name
    path.write_bytes(content)
    found = reader.canLoadFileConfidence(str(path))
    assert found == confidence and type(found) is float  # Slicer takes no other type
    assert reader.canLoadFile(str(path)) is (confidence > 0)


def test_the_reader_yields_to_slicer_hearts(reader, kretz_file, tmp_path, monkeypatch):
    monkeypatch.setattr(slicer.modules, "kretzfilereader", object(), raising=False)
    assert 0 < reader.canLoadFileConfidence(str(kretz_file)) < 0.5  # what a reader has that judges by the name
    inside = tmp_path / "inside.dcm"
    inside.write_bytes(dicom(kretz(toroidal())))
    assert reader.canLoadFileConfidence(str(inside)) == 0.8  # which SlicerHeart's reader of files does not read


def test_a_file_is_loaded_with_its_doubts_and_no_storage_that_slicer_could_not_read_again(bench, reader, kretz_file):
    assert reader.load({"fileName": str(kretz_file), "name": "Case"}) is True
    [identifier] = reader.parent.loadedNodes
    node = slicer.mrmlScene.GetNodeByID(identifier)
    assert node.GetName() == "Case" and node.GetStorageNode() is None
    assert any("Left and right are not confirmed" in text for _, text in reader.parent.said)
    bench.ui.inputSelector.setCurrentNode(node)
    assert "Left and right are not confirmed" in bench.ui.geometryLabel.text


def test_a_file_that_cannot_be_read_is_a_message_and_leaves_no_node(bench, reader, kretz_file):
    kretz_file.write_bytes(kretz(toroidal())[:-3000])
    before = slicer.mrmlScene.GetNumberOfNodes()
    assert reader.load({"fileName": str(kretz_file)}) is False
    [(event, text)] = reader.parent.said
    assert event == vtk.vtkCommand.ErrorEvent and "fetus.vol" in text
    assert slicer.mrmlScene.GetNumberOfNodes() == before


# --- what the network gets


def loaded(bench, path):
    node = mrml.read_volume(slicer.mrmlScene, path)
    bench.ui.inputSelector.setCurrentNode(node)
    return node


@pytest.fixture
def whole(tmp_path):
    """A file large enough to hold a fetus."""
    path = tmp_path / "fetus.vol"
    path.write_bytes(kretz(toroidal_items(PROBE_VOLUME)))
    return path


def test_the_network_reads_the_probes_samples_and_not_those_of_the_views(bench, whole):
    loaded(bench, whole)
    bench.estimate()
    request, expected = bench.requests()[-1], read_kretz(whole).volume.grid
    assert request.ijk_to_ras is None and request.probe.shape == expected.shape
    for name in ("samples", "radius", "step", "axis", "theta", "phi", "probe_to_ras"):
        np.testing.assert_array_equal(getattr(request.probe, name), getattr(expected, name))


def test_a_mirrored_or_moved_volume_moves_the_probe(bench, whole):
    node = loaded(bench, whole)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, -7], [0, 0, 0, 1.0]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    bench.ui.mirroredCheckBox.checked = True
    bench.estimate()
    probe = bench.requests()[-1].probe
    assert np.linalg.det(probe.probe_to_ras[:3, :3]) < 0
    shown = mrml.volume_from_node(node)
    np.testing.assert_allclose(  # the reflection leaves the box in place
        (probe.corners().min(axis=0) + probe.corners().max(axis=0)) / 2,
        (shown.grid.corners().min(axis=0) + shown.grid.corners().max(axis=0)) / 2, atol=0.3,
    )  # fmt: skip


@pytest.mark.parametrize("change", ["voxels", "spacing", "scaled", "gone", "other file", "other attribute"])
def test_a_volume_that_was_changed_is_taken_as_it_is(bench, whole, change):
    node = loaded(bench, whole)
    if change == "voxels":
        slicer.util.arrayFromVolume(node)[20:30] //= 2
    elif change == "spacing":
        node.SetSpacing(0.6, 0.5, 0.5)
    elif change == "scaled":
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.1, 1, 1, 1])))
        node.SetAndObserveTransformNodeID(transform.GetID())
    elif change == "gone":
        whole.unlink()
    elif change == "other file":
        whole.write_bytes(kretz(toroidal_items(type(PROBE_VOLUME)(255 - PROBE_VOLUME.array, PROBE_VOLUME.grid))))
    else:
        node.SetAttribute("FetalPose.ProbeSamples", "[1, 2")
    bench.estimate()
    request = bench.requests()[-1]
    assert request.probe is None
    np.testing.assert_allclose(request.ijk_to_ras, mrml.volume_from_node(node).ijk_to_ras)
