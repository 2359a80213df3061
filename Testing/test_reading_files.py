"""What is no file, may not be read, has an odd name or another format: one clear line, and no waiting."""

import os
import tempfile
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from volume_files import metaimage, nrrd, picture, write_slices

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import plain, shown

ARRAY = picture((40, 44, 48))


def refusal(scene, path) -> str:
    with pytest.raises(FetalPoseError) as error:
        mrml.read_volume(scene, path)
    message = str(error.value)
    assert message.isprintable() and len(message) < 600
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    return message


@contextmanager
def without_roots_rights():
    """Rights count for everybody but root, as whom tests may run."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii", "a.nii.gz", "a.dcm", "a.vol", "a"])
def test_an_empty_or_missing_file(scene, tmp_path, name):
    assert "does not exist. Check its name" in refusal(scene, tmp_path / name)
    assert "does not exist" in refusal(scene, tmp_path / "none" / name)
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refusal(scene, tmp_path / name)
    assert "cannot be read" in refusal(scene, tmp_path / name / "below")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_or_a_device_is_never_waited_for(scene, tmp_path):
    os.mkfifo(tmp_path / "pipe.nrrd")
    os.mkfifo(tmp_path / "pipe.raw")
    (tmp_path / "a.mhd").write_bytes(metaimage(ARRAY, ElementDataFile="pipe.raw"))
    folder = write_slices(tmp_path / "series", picture((40, 44, 48)))
    os.mkfifo(folder / "pipe")
    for path in (tmp_path / "pipe.nrrd", "/dev/zero", "/dev/stdin" if os.path.exists("/dev/tty") else "/dev/null"):
        assert "cannot be read as a volume" in refusal(scene, path)
    assert "pipe.raw cannot be read. It is a pipe or a device" in refusal(scene, tmp_path / "a.mhd")
    assert mrml.read_volume(scene, folder) is not None


@pytest.mark.skipif(os.name == "nt", reason="rights are another matter there")
def test_missing_rights_are_named(scene, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and str(folder) != tempfile.gettempdir():
            os.chmod(folder, 0o755)
    series = write_slices(tmp_path / "series", ARRAY[:3])
    (tmp_path / "locked").mkdir()
    for name in ("secret.nrrd", "locked/a.nrrd"):
        (tmp_path / name).write_bytes(nrrd(ARRAY))
    (tmp_path / "data.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "a.mhd").write_bytes(metaimage(ARRAY, ElementDataFile="data.raw"))
    for name in ("secret.nrrd", "data.raw", "series/IM0001", "locked"):
        os.chmod(tmp_path / name, 0)
    try:
        with without_roots_rights():
            for name in ("secret.nrrd", "locked/a.nrrd", "locked", "series", "a.mhd"):
                assert "You may not read it. Ask its owner" in refusal(scene, tmp_path / name)
            assert "data.raw" in refusal(scene, tmp_path / "a.mhd") and "IM0001" in refusal(scene, series)
    finally:
        os.chmod(tmp_path / "locked", 0o755)


def test_odd_names_are_read_and_never_reach_a_terminal_as_they_are(scene, tmp_path):
    for name in ("two\nlines.nrrd", "\x1b[31mred.nrrd", "Žofie 患者.nrrd", "100% $HOME;.nrrd", "-x.nrrd", "bell\a.mha"):
        data = metaimage(ARRAY) if name.endswith("mha") else nrrd(ARRAY)
        (tmp_path / name).write_bytes(data)
        node = mrml.read_volume(scene, tmp_path / name)
        np.testing.assert_array_equal(mrml.volume_from_node(node).array, ARRAY)
        assert node.GetName().isprintable()
        scene.Clear(0)
        (tmp_path / name).write_bytes(data[:-1])
        refusal(scene, tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_refused_in_words(scene, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.nrrd")
    try:
        with open(path, "wb") as file:
            file.write(nrrd(ARRAY))
    except OSError:
        pytest.skip("the file system takes text only")
    assert r"caf\udce9.nrrd holds bytes that are no UTF-8. Rename it" in refusal(scene, os.fsdecode(path))


def test_a_name_too_long_for_the_system(scene, tmp_path):
    assert "too long" in refusal(scene, tmp_path / ("a" * 300 + ".nrrd"))
    assert "cannot be read as a volume" in refusal(scene, "nul\0byte.nrrd")


def test_names_in_messages():
    assert shown("a\x1b]0;x\x07b\u202e\udcff") == r"a\x1b]0;x\x07b\u202e\udcff"
    assert len(shown("x" * 5000)) < 220 and shown("x" * 5000 + "end").endswith("end")
    assert plain("a\nb\udcff") == "a_b_"


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n  <HTML>", "web page"),
        (b"II*\0", "TIFF, a picture format, which states no voxel spacing"),
        (b"\x89PNG\r\n", "picture format"),
        (b"\0\0\0\x18ftypmp42", "a film"),
        (b"\x93NUMPY", "NumPy"),
        (b"# vtk DataFile Version 3.0", "save it as NRRD"),
        (b'{"markups": []}', "JSON"),
        (b"anything", "damaged: it does not start as nrrd files do"),
    ],
)
def test_other_formats_are_named(scene, tmp_path, start, message):
    (tmp_path / "a.nrrd").write_bytes(start + bytes(2000))
    assert message in refusal(scene, tmp_path / "a.nrrd")


def test_archives_are_named(scene, tmp_path):
    import gzip

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("IM0001", b"x")
    assert "a zip. Unpack it" in refusal(scene, tmp_path / "a.zip")
    (tmp_path / "a.nrrd.gz").write_bytes(gzip.compress(nrrd(ARRAY)))
    assert "compressed as a whole. Unpack it" in refusal(scene, tmp_path / "a.nrrd.gz")


def test_the_contents_say_what_a_file_is(scene, tmp_path):
    for name, data in (("mha.nrrd", metaimage(ARRAY)), ("nrrd.mha", nrrd(ARRAY)), ("nrrd", nrrd(ARRAY))):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(mrml.volume_from_node(mrml.read_volume(scene, tmp_path / name)).array, ARRAY)
