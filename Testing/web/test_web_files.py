"""Uploads and the session's folder: names that climb, limits, headers with voxels beside them, what is kept."""

import asyncio
import json
import os

import numpy as np
import pytest
from scene_poses import POINTS

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseWeb.folder import SessionFolder
from FetalPoseWeb.uploads import TooLargeError, Upload, base_name, in_their_words, suffix_of

CLIMBING = [
    "../../x.nrrd", "..\\..\\x.nrrd", "/etc/x.nrrd", "C:\\x.nrrd", "....//x.nrrd", "a/../../x.nrrd", "x\x00.nrrd",
    "\u202ex.nrrd", ".nrrd", "~/x.nrrd", "00000.nrrd/", "x" * 5000 + ".nrrd", "%2e%2e%2fx.nrrd", "\udcff.nrrd",
]  # fmt: skip


async def chunks(*parts: bytes):
    for part in parts:
        yield part


def received(upload, name, *parts, expected=None):
    return asyncio.run(upload.receive(name, chunks(*parts), expected))


@pytest.fixture
def upload(tmp_path):
    folder = tmp_path / "session" / "upload"
    folder.mkdir(parents=True)
    return Upload(folder, limit_bytes=1000)


@pytest.mark.parametrize("name", CLIMBING)
def test_names_never_lead_out_of_the_folder(upload, tmp_path, name):
    path = received(upload, name, b"voxels")
    assert path.parent == upload.folder and path.name in ("00000.nrrd", "00000")
    everything = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert everything == [path] and path.read_bytes() == b"voxels"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.NII.GZ", ".nii.gz"), ("b.mrk.json", ".mrk.json"), ("IM0001", ""), ("c.v00", ".v00"), ("d.a/b", ""),
     ("e.toolongsuffix", ""), ("f.n rrd", "")],
)  # fmt: skip
def test_only_letters_and_digits_of_a_suffix_stay(name, suffix):
    assert suffix_of(name) == suffix


def test_upload_over_the_limit_is_refused_before_and_while_it_comes(upload):
    with pytest.raises(TooLargeError, match="limit"):
        received(upload, "a.nrrd", b"x", expected=1001)  # what the browser announces
    with pytest.raises(TooLargeError):
        received(upload, "a.nrrd", *[b"x" * 300] * 4)  # what it sends
    assert list(upload.folder.iterdir()) == []


def test_all_files_of_an_upload_count_together(upload):
    received(upload, "a.dcm", b"x" * 600)
    with pytest.raises(TooLargeError):
        received(upload, "b.dcm", b"x" * 600)
    assert [path.name for path in upload.folder.iterdir()] == ["00000.dcm"]


def test_file_whose_sender_goes_away_is_deleted(upload):
    async def broken():
        yield b"half"
        raise ConnectionResetError("gone")

    with pytest.raises(FetalPoseError, match="could not be stored"):
        asyncio.run(upload.receive("a.nrrd", broken()))
    assert list(upload.folder.iterdir()) == []


def test_metaimage_header_finds_its_voxels_under_their_new_name(tmp_path):
    array = np.random.default_rng(0).integers(1, 200, (40, 40, 40), dtype=np.uint8)
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1.5 1.5 1.5\nDimSize = 40 40 40\n"
        "AnatomicalOrientation = LPS\nElementType = MET_UCHAR\nElementDataFile = my case.raw\n"
    )
    folder = tmp_path / "u"
    folder.mkdir()
    upload = Upload(folder, 10**6)
    received(upload, "study/my case.raw", array.tobytes())
    received(upload, "study/my case.mhd", header.encode())
    path, name = upload.settle()
    assert name == "my case.mhd"
    found = mrml.volume_from_node(mrml.read_volume(mrml.new_scene(), path))
    assert sorted(np.unique(found.array)) == sorted(np.unique(array))


def test_header_without_its_voxels_says_which_file_is_missing(upload):
    received(upload, "case.mhd", b"ObjectType = Image\nElementDataFile = case.raw\n")
    with pytest.raises(FetalPoseError, match="case.mhd is a header; its voxels are in case.raw"):
        upload.settle()


def test_several_files_are_a_folder_and_none_is_an_error(upload):
    with pytest.raises(FetalPoseError, match="No file came"):
        upload.settle()
    received(upload, "s/1.dcm", b"x")
    assert upload.settle()[0].name == "00000.dcm"
    received(upload, "s/2.dcm", b"x")
    assert upload.settle()[0] == upload.folder


def test_messages_name_the_persons_file(upload):
    path = received(upload, "Müller 12w.nrrd", b"NRRD0004\nnonsense\n")
    with pytest.raises(FetalPoseError) as raised:
        mrml.read_volume(mrml.new_scene(), path)
    text = in_their_words(str(raised.value), upload)
    assert "Müller 12w.nrrd" in text and "00000" not in text and str(upload.folder) not in text
    assert base_name("a\\b/c.nrrd") == "c.nrrd"


# --- the session's folder


def kept_pose(folder, scene, volume="case.nrrd"):
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, POINTS, np.ones(16))
    mrml.save_pose(node, folder.pose)
    folder.keep(volume)


def test_folder_is_private_and_leaves_nothing_but_a_kept_pose(tmp_path, scene):
    folder = SessionFolder(tmp_path / "state")
    assert folder.path.stat().st_mode & 0o077 == 0
    (folder.new("upload") / "volume.nrrd").write_bytes(b"patient")
    kept_pose(folder, scene)
    folder.close(forget=False)
    files = {path.name for path in folder.path.rglob("*") if path.is_file()}
    assert files - {".lock"} == {"pose.mrk.json", "pose.json"}


@pytest.mark.parametrize("forget", [False, True])
def test_folder_goes_with_its_server_where_nothing_is_kept(tmp_path, scene, forget):
    folder = SessionFolder(tmp_path / "state")
    if forget:
        kept_pose(folder, scene)
    (folder.new("upload") / "volume.nrrd").write_bytes(b"patient")
    folder.close(forget=forget)
    assert list((tmp_path / "state").iterdir()) == []


def test_pose_of_a_server_that_ended_is_offered_and_its_uploads_are_deleted(tmp_path, scene):
    before = SessionFolder(tmp_path)
    upload = before.new("upload")
    (upload / "volume.nrrd").write_bytes(b"patient")
    kept_pose(before, scene)
    now = SessionFolder(tmp_path)
    assert now.left_behind() == []  # the other one lives
    before._lock.close()  # its process was killed
    (left,) = now.left_behind()
    assert left.volume == "case.nrrd" and not upload.exists()
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, left.path)), POINTS, atol=1e-3)
    now.drop(left)
    assert now.left_behind() == [] and not before.path.exists()


def test_note_that_is_damaged_does_not_lose_the_pose(tmp_path, scene):
    before = SessionFolder(tmp_path)
    kept_pose(before, scene)
    (before.path / "pose.json").write_text("{")
    before._lock.close()
    (left,) = SessionFolder(tmp_path).left_behind()
    assert left.volume == "" and left.when


def test_exported_pose_is_kept_no_more(tmp_path, scene):
    folder = SessionFolder(tmp_path)
    kept_pose(folder, scene)
    assert json.loads((folder.path / "pose.json").read_text())["volume"] == "case.nrrd"
    folder.discard()
    folder.close(forget=False)
    assert os.listdir(tmp_path) == []
