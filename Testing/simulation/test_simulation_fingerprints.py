"""The fingerprints of Sim-152: volumes have them, and a change is noticed."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_bodies import FINGERPRINTED

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.simulation.datasets import draw_subject, simulate
from FetalPoseLib.simulation.fingerprint import FROZEN, SPACING, differences, fingerprint, load_fingerprints

# fingerprints


def test_every_fixed_subject_has_a_fingerprint():
    expected = load_fingerprints()
    assert {split: len(rows) for split, rows in expected.items()} == FROZEN
    for split, rows in expected.items():
        for index, row in enumerate(rows):
            subject = draw_subject(split, index)
            landmarks = subject.shrink * subject.landmarks
            frozen = np.array([p or [np.nan] * 3 for p in row["landmarks"]])
            np.testing.assert_allclose(landmarks, frozen, atol=0.01, err_msg=subject.name)


@pytest.mark.parametrize("split, index", FINGERPRINTED)
def test_volumes_have_their_fingerprints(split, index, cases):
    assert differences(load_fingerprints()[split][index], fingerprint(cases[split, index])) == []


#: All of them but of the standard presentation, which are the same subjects turned: every tenth of these.
ALL = [(split, k) for split, n in FROZEN.items() for k in range(0, n, 10 if split.endswith("-standard") else 1)]


@pytest.mark.slow
@pytest.mark.parametrize("split, index", ALL)
def test_all_of_sim_152_has_its_fingerprints(split, index):
    assert differences(load_fingerprints()[split][index], fingerprint(simulate(split, index, spacing=SPACING))) == []


def _changed(case, array=None, landmarks=None):
    volume = case.volume if array is None else replace(case.volume, array=array)
    return replace(case, volume=volume, landmarks=case.landmarks if landmarks is None else landmarks)


def _brighter(array):
    return np.where(array > 0, np.minimum(array.astype(int) + 1, 255), 0).astype(np.uint8)


@pytest.mark.parametrize(
    "change, word",
    [
        (_brighter, "mean"),
        (lambda array: array[:, :, ::-1], "octants"),
        (lambda array: array[:, ::-1], "octants"),
        (lambda array: array[::-1], "octants"),
        (lambda array: array[:, :, 1:], "shape"),
        (lambda array: np.where(array > 0, np.clip(1.05 * (array - 90.0) + 90, 1, 255), 0).astype(np.uint8), "std"),
    ],
    ids=["one grey level", "mirrored in x", "mirrored in y", "mirrored in z", "cropped", "contrast"],
)
def test_a_changed_volume_is_noticed(change, word, cases):
    case = cases["validation", 0]
    expected = fingerprint(case)
    assert differences(expected, fingerprint(case)) == []
    assert word in " ".join(differences(expected, fingerprint(_changed(case, change(case.volume.array)))))


def test_a_changed_landmark_is_noticed(cases):
    case = cases["validation", 0]
    moved, unseen = case.landmarks.copy(), case.landmarks.copy()
    moved[4, 1] += 0.05
    unseen[15] = np.nan
    swapped = case.landmarks[load_skeleton().mirror]
    for landmarks, count, word in ((moved, 1, "landmark 5 "), (unseen, 1, "landmark 16 "), (swapped, 12, "mark 2 ")):
        found = differences(fingerprint(case), fingerprint(_changed(case, landmarks=landmarks)))
        assert len(found) == count and word in found[0]


def test_rounding_on_another_machine_is_not_a_change(cases):
    case = cases["validation", 0]
    array, rng = case.volume.array.astype(int), np.random.default_rng(4)
    hit = (rng.random(array.shape) < 0.02) & (array > 1) & (array < 255)
    array[hit] += rng.choice([-1, 1], hit.sum())
    other = _changed(case, array.astype(np.uint8), case.landmarks + 1e-4)
    assert differences(fingerprint(case), fingerprint(other)) == []
