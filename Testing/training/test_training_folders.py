"""A person's own volumes as training cases, and libraries made of poses."""

import numpy as np
import pytest
from training_cases import LANDMARKS, SIDE, SKELETON, cube, lps_markups, paint
from volume_files import write_nifti

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path
from FetalPoseLib.training.folders import convert, count_not_visible
from FetalPoseLib.training.library import SUBJECTS, bundled_library, library_of
from FetalPoseLib.training.pool import load_case


def test_a_folder_becomes_cases_in_the_same_world(data, tmp_path):
    cases = [load_case(path) for path in convert(data, tmp_path / "pool", spacing=1.5, frame=True)]
    assert [case.name for case in cases] == ["own-a", "own-b.old"]
    for case in cases:
        np.testing.assert_allclose(case.grid.affine[:3, :3], 1.5 * np.eye(3))
        seen = np.isfinite(case.landmarks).all(axis=1)
        np.testing.assert_allclose(case.landmarks[seen], LANDMARKS[seen], atol=1e-4)
        bright = case.volume.astype(float) - 41
        for i in (SKELETON.index("right_wrist"), SKELETON.index("head")):  # the blobs lie where the truth says
            centre = np.round(case.grid.to_voxel(LANDMARKS[i])).astype(int)
            box = [np.arange(c - 3, c + 4) for c in centre]
            weight = bright[np.ix_(*box[::-1])].clip(0)
            weight[weight < 0.5 * weight.max()] = 0
            where = [(weight.sum(axis=tuple({0, 1, 2} - {2 - a})) * box[a]).sum() / weight.sum() for a in range(3)]
            assert np.linalg.norm(case.grid.to_world(where) - LANDMARKS[i]) < 1.0
    assert count_not_visible(np.array([case.landmarks for case in cases])) == {"left_wrist": 1}


def test_what_a_file_leaves_open_is_told(tmp_path):
    size = round(SIDE / 2)
    write_nifti(tmp_path / "a.nii", paint((size,) * 3, cube(2.0)), spacing=(2, 2, 2))  # it states no directions
    shift = np.diag([-1.0, -1, 1]) @ np.full(3, SIDE / 2)  # taken for left, posterior and superior, from the origin
    lps_markups(tmp_path / "a.mrk.json", LANDMARKS + shift)
    told = []
    convert(tmp_path, tmp_path / "pool", spacing=2.0, frame=True, warn=told.append)
    (sentence,) = told
    assert sentence.startswith(str(tmp_path / "a.nii")) and "left and right may be exchanged" in sentence


def test_converting_again_does_only_what_changed(data, tmp_path):
    first, second = convert(data, tmp_path / "pool", spacing=2.0, frame=True)
    times = [path.stat().st_mtime_ns for path in (first, second)]
    convert(data, tmp_path / "pool", spacing=2.0, frame=True)
    assert [path.stat().st_mtime_ns for path in (first, second)] == times
    for name in ("b.old.nrrd", "b.old.mrk.json"):
        (data / name).unlink()
    (tmp_path / "pool" / "fresh-00000.npz").touch()
    assert convert(data, tmp_path / "pool", spacing=2.0, frame=True) == [first]
    assert not second.exists() and (tmp_path / "pool" / "fresh-00000.npz").exists()


def spoil(folder, how):
    a = folder / "a.mrk.json"
    points, names = LANDMARKS.copy(), list(SKELETON.landmarks)
    if how == "gone":
        return folder / "nowhere"
    if how == "empty":
        (folder.parent / "empty").mkdir()
        return folder.parent / "empty"
    if how == "no landmarks":
        a.unlink()
    elif how == "no volume":
        (folder / "a.nrrd").unlink()
    elif how == "twice":
        (folder / "a.mha").touch()
    elif how == "label missing":
        lps_markups(a, points[:-1], names=names[:-1])
    elif how == "wrong name":
        lps_markups(a, points, names=[*names[:-1], "L ankle"])
    elif how == "trunk unset":
        points[SKELETON.index("sacrum")] = np.nan
        lps_markups(a, points)
    elif how == "head unset":
        points[0] = np.nan
        lps_markups(a, points)
    elif how == "all unset":
        lps_markups(a, np.full((16, 3), np.nan))
    elif how == "elsewhere":
        lps_markups(a, points + [0, 300, 0])
    elif how == "no markups":
        a.write_text("{}")
    elif how == "damaged":
        (folder / "a.nrrd").write_bytes((folder / "a.nrrd").read_bytes()[:5000])
    return folder


@pytest.mark.parametrize(
    "how, message",
    [
        ("gone", "nowhere does not exist"),
        ("empty", r"holds 0 volumes and 0 .mrk.json files, and needs both: such as case1.nrrd with case1.mrk.json"),
        ("no landmarks", "volumes without landmarks: a. Place them"),
        ("no volume", "landmarks without a volume: a. Give"),
        ("twice", "several volumes: a. Keep one"),
        ("label missing", "a.mrk.json.*missing: left_ankle"),
        ("wrong name", "a.mrk.json.*missing: left_ankle.*not a landmark: L ankle"),
        ("trunk unset", "a.mrk.json.*not visible: sacrum.*cannot train fetal-frame"),
        ("head unset", "a.mrk.json: The head is not visible.*cannot train fetal-frame"),
        ("all unset", "No landmark of .*a.mrk.json is placed"),
        ("elsewhere", "16 of the 16 landmarks of .*a.mrk.json lie outside a.nrrd"),
        ("no markups", "a.mrk.json is not a markups point list"),
        ("damaged", "a.nrrd cannot be read as a volume"),
    ],
)
def test_a_bad_folder_ends_in_its_message(data, tmp_path, capsys, how, message):
    folder, output = spoil(data, how), tmp_path / "m.safetensors"
    with pytest.raises(FetalPoseError, match=message):
        convert(folder, tmp_path / "pool", spacing=2.0, frame=True)
    options = ["--output", str(output), "--folder", str(tmp_path / "run")]
    assert main(["train", "--model", "fetal-frame", "--data", str(folder), *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("fetalpose: error: ") and not output.exists()


def test_a_pose_that_is_not_whole_still_trains_a_single_pass(data, tmp_path):
    spoil(data, "trunk unset")
    assert len(convert(data, tmp_path / "pool", spacing=2.0, frame=False)) == 2


# --- pose libraries


def test_the_bundled_library_is_what_its_module_makes(monkeypatch):
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    assert len(library) == 400
    assert {name.split("-")[0] for name in library.names} == {"train", "fresh"} == set(SUBJECTS)
    monkeypatch.setitem(SUBJECTS, "train", 2)
    monkeypatch.setitem(SUBJECTS, "fresh", 2)
    rows = [library.names.index(name) for name in bundled_library().names]
    np.testing.assert_allclose(bundled_library().poses, library.poses[rows], atol=1e-6)
    for pose in library.poses[::40]:
        np.testing.assert_allclose(FetalFrame.from_landmarks(pose).rotation, np.eye(3), atol=1e-9)


def test_a_library_of_own_poses_leaves_out_what_is_not_whole():
    cut = LANDMARKS.copy()
    cut[0] = np.nan
    library = library_of([LANDMARKS, cut], ["a", "b"], "here")
    assert library.names == ("a",) and library.meta["source"] == "here"
    aligned, residual = library.support_set(LANDMARKS, k=1)
    np.testing.assert_allclose(aligned[0], LANDMARKS, atol=1e-6)
    with pytest.raises(FetalPoseError, match="None of the 1 poses of here"):
        library_of([cut], ["b"], "here")
