"""A person's own library: degenerate poses, damaged files, two writers at a time, listing and removing."""

import io
import subprocess
import sys
import zipfile
from datetime import date

import numpy as np
import pytest

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.plausibility import crown_rump_length
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session.user_library import Atlases, OwnLibrary, add_pose, own_library, remove_pose

SKELETON = load_skeleton()
ADD = """
import sys
from pathlib import Path
from FetalPoseLib import scene
from FetalPoseLib.session.user_library import add_pose
scene.silence_log()
pose = scene.load_pose(scene.new_scene(), sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    add_pose(pose, Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def bodies() -> np.ndarray:
    return PoseLibrary.load(resource_path("pose_library.npz")).poses[:5]


def pose_names(path) -> tuple[str, ...]:
    return tuple(pose.name for pose in own_library(path).poses)


def degenerate(body: np.ndarray, kind: str) -> np.ndarray:
    body = body.copy()
    if kind == "neck on the sacrum":
        body[SKELETON.index("neck")] = body[SKELETON.index("sacrum")]
    elif kind == "all in one place":
        body[:] = body[0]
    elif kind == "on a line":
        body[:, :2] = 0
    elif kind == "sides not apart":
        body[:, 0] = 0
        for right, left in SKELETON.symmetric_pairs:
            body[left] = body[right]
    elif kind == "in metres":
        body /= 1000
    elif kind == "in micrometres":
        body *= 1000
    return body


DEGENERATE = (
    "neck on the sacrum", "all in one place", "on a line", "sides not apart", "in metres", "in micrometres",
)  # fmt: skip


def archive(**changed) -> bytes:
    """A library of five poses with some arrays changed."""
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    arrays = {
        "poses": library.poses[:5],
        "names": np.array(list("abcde")),
        "landmarks": np.array(SKELETON.landmarks),
        "meta": np.array("{}"),
        **changed,
    }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("kind", DEGENERATE)
def test_a_degenerate_pose_is_refused_with_the_reason(scene, tmp_path, bodies, kind):
    pose, path = mrml.create_pose(scene), tmp_path / "my-poses.npz"
    mrml.set_estimate(pose, degenerate(bodies[0], kind))
    with pytest.raises(FetalPoseError, match="cannot go into a library"):
        add_pose(pose, path)
    assert not path.exists()


@pytest.mark.parametrize("kind", DEGENERATE)
def test_a_degenerate_pose_in_a_file_is_left_out_and_named(tmp_path, bodies, kind):
    path = tmp_path / "my-poses.npz"
    PoseLibrary(np.stack([bodies[0], degenerate(bodies[1], kind), bodies[2]]), ["a", "bad", "c"]).save(path)
    library = PoseLibrary.load(path)
    assert library.names == ("a", "c")
    assert len(library.left_out) == 1 and "'bad'" in library.left_out[0]
    bundled = PoseLibrary(bodies)
    joined = bundled.joined([library])  # what the network's process refines with
    assert len(joined) == len(bundled) + 2 and joined.left_out == library.left_out


def test_a_pose_that_is_left_out_is_logged(tmp_path, bodies, caplog):
    path = tmp_path / "my-poses.npz"
    PoseLibrary(degenerate(bodies[0], "all in one place")[None], ["bad"]).save(path)
    assert Atlases().with_own(path) is not None
    assert "'bad'" in caplog.text


def huge() -> bytes:
    """A header that declares 77 GB."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (200000000, 16, 3), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive())) as good, zipfile.ZipFile(result, "w") as bad:
        for name in good.namelist():
            declared = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            bad.writestr(name, declared if name == "poses.npy" else good.read(name))
    return result.getvalue()


def bomb() -> bytes:
    """200 MB of zeros in 200 kB."""
    return archive(poses=np.zeros((200_000, 16, 8)))


def encrypted() -> bytes:
    data = bytearray(archive())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            data[place + offset] |= 1
    return bytes(data)


def with_damaged_stream() -> bytes:
    data = bytearray(archive())
    place = data.find(b"poses.npy") + 60
    data[place : place + 200] = b"\xff" * 200
    return bytes(data)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: b"", lambda: b"PK\x03\x04" * 20, lambda: archive()[:2000], with_damaged_stream, encrypted, huge, bomb,
        lambda: archive(meta=np.array("[1, 2]")), lambda: archive(meta=np.array("[" * 100_000)),
        lambda: archive(names=np.array(list("abc"))), lambda: archive(poses=np.zeros((5, 16, 3), "U8")),
        lambda: archive(poses=np.zeros((5, 15, 3))), lambda: archive(landmarks=np.array(list("xyz"))),
        lambda: archive(names=np.arange(5)), lambda: archive(poses=np.zeros((5, 16, 3), dtype=complex)),
    ],
)  # fmt: skip
def test_a_damaged_library_is_one_clear_message(tmp_path, damaged):
    path = tmp_path / "my-poses.npz"
    path.write_bytes(damaged())
    with pytest.raises(FetalPoseError, match=r"my-poses\.npz") as raised:
        PoseLibrary.load(path)
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


def test_two_writers_lose_nothing(tmp_path):
    path, sample = tmp_path / "my-poses.npz", resource_path("sample", "sample.mrk.json")
    command = [sys.executable, "-c", ADD, sample, path, "12"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in both] == [0, 0]
    for process in both:
        process.communicate()
    assert sorted(pose_names(path)) == sorted(f"own-{i}" for i in range(1, 25))
    assert [file.name for file in tmp_path.iterdir()] == ["my-poses.npz"]  # no lock is left


def test_a_library_that_stays_in_use_is_said(tmp_path):
    path = tmp_path / "my-poses.npz"
    with locked(path), pytest.raises(FetalPoseError, match="in use"), locked(path, wait_s=0.05):
        pass
    with locked(path, wait_s=0):
        pass


def test_poses_can_be_listed_and_removed_and_names_stay_different(scene, tmp_path, bodies):
    path, pose = tmp_path / "my-poses.npz", mrml.create_pose(scene)
    assert pose_names(path) == () and pose_names(None) == ()
    for body in bodies[:3]:
        mrml.set_estimate(pose, body)
        add_pose(pose, path)
    assert remove_pose(path, "own-2") == 2
    assert pose_names(path) == ("own-1", "own-3")
    assert add_pose(pose, path) == 3
    assert pose_names(path) == ("own-1", "own-3", "own-4")
    with pytest.raises(FetalPoseError, match="own-2"):
        remove_pose(path, "own-2")
    for name in pose_names(path):
        remove_pose(path, name)
    assert pose_names(path) == () and add_pose(pose, path) == 1
    with pytest.raises(FetalPoseError, match="no library"):
        remove_pose(tmp_path / "other.npz", "own-1")


def test_the_list_tells_the_day_the_length_and_what_was_left_out(scene, tmp_path, bodies):
    path, pose = tmp_path / "my-poses.npz", mrml.create_pose(scene)
    older = PoseLibrary(np.stack([bodies[0], degenerate(bodies[1], "all in one place")]), ["own-1", "bad"])
    older.save(path)  # of a version that kept no days
    mrml.set_estimate(pose, bodies[2])
    assert [sentence for sentence in own_library(path).left_out if "'bad'" in sentence]
    add_pose(pose, path)
    first, second = own_library(path).poses
    assert (first.name, first.added) == ("own-1", "") and second.added == date.today().isoformat()
    assert second.crl_mm == pytest.approx(crown_rump_length(bodies[2]))
    remove_pose(path, "own-2")
    assert "own-2" not in PoseLibrary.load(path).meta["added"]
    assert own_library(None) == OwnLibrary()
    with pytest.raises(FetalPoseError, match="Choose a folder"):
        remove_pose(None, "own-1")
