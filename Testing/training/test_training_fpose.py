"""FPOSE's layout: spacing and places from the JSON, whatever the NIfTI says; names; handedness; messages."""

import gzip
import json

import numpy as np
import pytest
from training_cases import LANDMARKS, SIDE, SKELETON, cube, paint
from volume_files import write_nifti

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.training.folders import convert, find_pairs
from FetalPoseLib.training.fpose import sides_sentence
from FetalPoseLib.training.pool import load_case
from FetalPoseLib.volume.grid import transform_points

SPACING = 1.5
SIZE = round(SIDE / SPACING)


@pytest.fixture
def fpose(tmp_path):
    """Two annotated volumes and one without an annotation, in NIfTI files whose geometry is nonsense."""
    folder = tmp_path / "fpose"
    (folder / "volumes").mkdir(parents=True)
    (folder / "landmark_anno").mkdir()
    picture = paint((SIZE,) * 3, cube(SPACING))
    for name, spacing in (("007", (0.0, -3.0, 1.0)), ("008", (9.0, 9.0, 9.0)), ("009", (1.0, 1.0, 1.0))):
        plain = write_nifti(folder / "plain.nii", picture, spacing=spacing)
        (folder / "volumes" / f"{name}.nii.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    annotate(folder, "007")
    annotate(folder, "008", spacing=[SPACING] * 3)
    return folder


def voxels() -> np.ndarray:
    return transform_points(np.linalg.inv(cube(SPACING)), LANDMARKS)


def annotate(folder, stem, *, spacing=SPACING, names=SKELETON.landmarks, change=lambda content: None):
    places = {name: place.tolist() for name, place in zip(names, voxels(), strict=True)}
    content = {"spacing": spacing, "landmarks": places}
    change(content)
    (folder / "landmark_anno" / f"{stem}_landmark.json").write_text(json.dumps(content))


def test_annotated_volumes_become_cases_with_the_spacing_of_the_json(fpose, tmp_path):
    paths = convert(fpose, tmp_path / "pool", spacing=SPACING, frame=True)
    assert [path.stem for path in paths] == ["own-007", "own-008"]
    for path in paths:
        case = load_case(path)
        np.testing.assert_allclose(case.grid.spacing, SPACING)
        lengths = np.linalg.norm(case.landmarks[1:] - case.landmarks[:-1], axis=1)
        np.testing.assert_allclose(lengths, np.linalg.norm(LANDMARKS[1:] - LANDMARKS[:-1], axis=1), atol=1e-4)
        for i in range(16):  # each blob lies where its landmark does
            z, y, x = np.round(case.grid.to_voxel(case.landmarks[i])).astype(int)[::-1]
            assert case.volume[z, y, x] > 1.2 * np.median(case.volume), SKELETON.landmarks[i]


def test_sides_are_those_of_a_right_handed_array_unless_it_is_said_to_be_mirrored(fpose):
    (plain, _), (mirrored, _) = find_pairs(fpose), find_pairs(fpose, mirrored=True)
    assert plain.key(1.0) != mirrored.key(1.0), "a case of the other kind is not taken for this one"
    assert np.linalg.det(plain.read()[0].ijk_to_ras) > 0 > np.linalg.det(mirrored.read()[0].ijk_to_ras)
    distances = lambda points: np.linalg.norm(points[:, None] - points, axis=2)  # noqa: E731
    np.testing.assert_allclose(distances(plain.read()[1]), distances(mirrored.read()[1]))
    volume = lambda points: np.linalg.det((points - points[2])[[0, 1, 7]])  # noqa: E731
    np.testing.assert_allclose(volume(plain.read()[1]), -volume(mirrored.read()[1]))
    assert "not mirrored" in sides_sentence(False) and "give --mirrored" in sides_sentence(False)


def test_other_folders_state_their_sides(data):
    with pytest.raises(FetalPoseError, match="state themselves how they lie. Leave --mirrored out"):
        find_pairs(data, mirrored=True)


def test_other_names_are_translated_and_other_landmarks_left_out(fpose):
    names = ["Head Top", *(name.replace("_", " ").title() for name in SKELETON.landmarks[1:])]
    for stem in ("007", "008"):
        annotate(fpose, stem, names=names, change=lambda c: c["landmarks"].update(Nose=[1, 2, 3]))
    with pytest.raises(
        FetalPoseError, match="No annotation names head in .*other names are Head Top, Nose.*names.json"
    ):
        find_pairs(fpose)
    (fpose / "names.json").write_text(json.dumps({"Head Top": "head"}))
    volume, points = find_pairs(fpose)[0].read()
    np.testing.assert_allclose(volume.grid.to_voxel(points), voxels(), atol=1e-6)
    (fpose / "names.json").write_text(json.dumps({"Head Top": "skull"}))
    with pytest.raises(FetalPoseError, match="translates Head Top into no landmark"):
        find_pairs(fpose)
    (fpose / "names.json").write_text(json.dumps({"Head Top": "head", "Nose": "head"}))
    with pytest.raises(FetalPoseError, match="Two names stand for head"):
        find_pairs(fpose)


def test_a_landmark_that_one_annotation_lacks_is_not_visible(fpose):
    annotate(fpose, "007", change=lambda c: c["landmarks"].pop("left_wrist"))
    annotate(fpose, "008", change=lambda c: c["landmarks"].update(left_ankle=None))
    for pair, name in zip(find_pairs(fpose), ("left_wrist", "left_ankle"), strict=True):
        missing = np.isnan(pair.read()[1]).any(axis=1)
        assert [n for n, gone in zip(SKELETON.landmarks, missing, strict=True) if gone] == [name]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("spacing"), '007_landmark.json must state "spacing".*states null'),
        (lambda c: c.update(spacing=[0.5, 0.5]), 'must state "spacing"'),
        (lambda c: c.update(spacing=0), 'must state "spacing"'),
        (lambda c: c.update(spacing=True), 'must state "spacing"'),
        (lambda c: c.update(spacing=float("nan")), 'must state "spacing"'),
        (lambda c: c.update(points=c.pop("landmarks")), 'no "landmarks".*it has spacing, points'),
        (lambda c: c["landmarks"].update(neck=[1, 2]), r"neck is \[1, 2\], not three numbers"),
        (lambda c: c["landmarks"].update(neck="1 2 3"), 'neck is "1 2 3", not three numbers'),
        (lambda c: c.update(landmarks={k: [999, 999, 999] for k in c["landmarks"]}), "16 of the 16 landmarks of"),
    ],
)
def test_an_annotation_that_is_not_as_the_layout_says_is_a_message(fpose, tmp_path, change, message):
    annotate(fpose, "007", change=change)
    with pytest.raises(FetalPoseError, match=message):
        convert(fpose, tmp_path / "pool", spacing=2.0, frame=True)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda f: (f / "volumes" / "007.nii.gz").unlink(), "007_landmark.json needs one volume .* there are 0"),
        (lambda f: (f / "volumes" / "007.nii").touch(), "there are 2"),
        (lambda f: (f / "landmark_anno" / "007_landmark.json").write_text("{"), "is no JSON file of this layout"),
        (lambda f: (f / "landmark_anno" / "007_landmark.json").write_text("[]"), "is no JSON object"),
        (lambda f: [p.unlink() for p in (f / "landmark_anno").iterdir()], "holds no file ID_landmark.json"),
        (lambda f: (f / "volumes" / "007.nii.gz").write_bytes(b"no"), "007.nii.gz cannot be read"),
    ],
)
def test_a_folder_that_is_not_as_the_layout_says_is_a_message(fpose, tmp_path, spoil, message):
    spoil(fpose)
    with pytest.raises(FetalPoseError, match=message):
        convert(fpose, tmp_path / "pool", spacing=2.0, frame=True)
