"""Search and verify: the right frame is found where the first reading is wrong, and only then is it searched for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.detection import detector as detection
from FetalPoseLib.detection.detector import Detector
from FetalPoseLib.detection.locate import Reading, axis_frame
from FetalPoseLib.detection.search import (
    FrameSearch,
    Judged,
    SearchOptions,
    Start,
    bright_middle,
    rounds_of_frames,
    sphere_directions,
)
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.simulation.datasets import simulate
from FetalPoseLib.volume.grid import Grid

GRID = Grid((80, 80, 80), np.eye(4))
OPTIONS = SearchOptions()
TRUTH = axis_frame(np.array([40.0, 40, 57]), np.array([40.0, 40, 23]))


class Oracle:
    """*Orient* and pass 2 as they should be: the truth is read from what looks along its axis, within 35 degrees."""

    def __init__(self):
        self.looked, self.judged = [], []

    def look(self, frames):
        self.looked += [frames]
        return [[Reading(TRUTH, np.ones(5), 1.0)] if self.sees(frame) else [] for frame in frames]

    def judge(self, frames):
        self.judged += frames
        return [Judged(frame, 0.7 if frame.angle_to(TRUTH) < 10 else 0.3, frame, "view") for frame in frames]

    @staticmethod
    def sees(frame):
        return frame.rotation[:, 2] @ TRUTH.rotation[:, 2] > np.cos(np.radians(35))


def outcome(steps):
    """All steps of a generator and its value."""
    found = []
    while True:
        try:
            found.append(next(steps))
        except StopIteration as end:
            return found, end.value


def rounds():
    middle = Start("middle", np.array([40.0, 40, 40]))
    return rounds_of_frames([[middle], [Start("head", TRUTH.origin)]], GRID, OPTIONS)


def test_directions_are_unit_vectors_and_none_is_far_from_the_next():
    directions = sphere_directions(20)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    anywhere = np.random.default_rng(0).normal(size=(500, 3))
    anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
    assert np.degrees(np.arccos((anywhere @ directions.T).max(axis=1))).max() < 40


def test_the_truth_is_found_from_the_middle_and_ends_the_search():
    oracle = Oracle()
    steps, best = outcome(FrameSearch(oracle.look, oracle.judge, OPTIONS).run(rounds(), []))
    assert best.frame is TRUTH and best.view == "view"
    assert steps[-1].certainty == 0.7
    assert steps[-1].views == OPTIONS.directions * len(OPTIONS.sizes_mm) < steps[-1].total
    assert max(map(len, oracle.looked)) == OPTIONS.batch


def test_a_frame_that_is_known_is_not_judged_again_and_may_win():
    oracle = Oracle()
    known = Judged(TRUTH, 0.5, TRUTH, "known")
    steps, best = outcome(FrameSearch(oracle.look, oracle.judge, OPTIONS).run(rounds(), [known]))
    assert best is known and oracle.judged == []
    assert steps[-1].views == steps[-1].total, "it was in doubt to the end"


def test_closing_the_search_ends_it_between_two_batches():
    oracle = Oracle()
    steps = FrameSearch(oracle.look, oracle.judge, OPTIONS).run(rounds(), [])
    next(steps)
    steps.close()
    assert len(oracle.looked) == 1


def test_no_frame_starts_outside_the_volume():
    small = Grid((40, 40, 40), np.eye(4))
    (first, *_) = rounds_of_frames([[Start("head", np.array([20.0, 20, 38]))]], small, OPTIONS)
    assert 0 < len(first) < OPTIONS.directions * len(OPTIONS.sizes_mm)
    for frame in first:
        sacrum = frame.to_world([0, 0, -0.73])
        assert (sacrum > -0.21 * frame.size).all() and (sacrum < 40 + 0.21 * frame.size).all()


def test_no_more_rounds_than_asked_for():
    points = [
        [Start("middle", np.full(3, 40.0))],
        [Start("head", np.array([40.0, 40, 57]))],
        [Start("head", TRUTH.origin)],
    ]
    for count in (1, 2, 3):
        assert len(rounds_of_frames(points, GRID, SearchOptions(rounds=count))) == count


def test_the_middle_of_what_is_bright():
    image = torch.zeros(20, 20, 20)
    image[5:15, 5:15, 5:15] = 0.1
    image[10:14, 6:9, 12:14] = 5.0
    np.testing.assert_allclose(bright_middle(image, Grid((20, 20, 20), np.diag([2, 2, 2, 1.0]))), [25, 14, 23])


# with the bundled networks


@pytest.fixture(scope="module")
def case():
    return simulate("validation", 3, spacing=1.0)


@pytest.fixture(scope="module")
def estimator():
    return Estimator(device="cpu")


def test_a_certain_first_reading_is_not_searched(estimator, case):
    stages = [event.stage for event in list(estimator.run(case.volume, iterations=0))[:-1]]
    assert stages == ["locate", "detect"]


def test_a_wrong_first_reading_is_searched_and_mended(estimator, case, monkeypatch):
    truth = FetalFrame.from_landmarks(case.landmarks)
    wrong = FetalFrame(truth.rotation[:, [1, 2, 0]], truth.origin + 1.5 * truth.size * truth.rotation[:, 2], truth.size)
    monkeypatch.setattr(Detector, "first_frames", lambda *_: [wrong])
    *events, found = estimator.run(case.volume, iterations=0)
    searched = [event.message for event in events if event.stage == "search"]
    assert searched and all("Searching" in message and "views" in message for message in searched)
    assert FetalFrame.from_landmarks(found.points).angle_to(truth) < 15
    assert np.nanmedian(np.linalg.norm(found.points - case.landmarks, axis=1)) < 2


def test_a_joint_reading_that_leaves_a_doubt_is_searched_beyond(estimator, case, monkeypatch):
    truth = FetalFrame.from_landmarks(case.landmarks)
    wrong = FetalFrame(truth.rotation @ np.diag([1.0, -1.0, -1.0]), truth.origin, truth.size)

    def look(detector, volume, _frame):
        """A first reading that is wrong, and that pass 2 believes."""
        yield from ()
        return replace(detector._views([wrong], detector.scan(volume))[0], unsearched=True)

    monkeypatch.setattr(Detector, "look", look)
    stages = []
    found = estimator.estimate(case.volume, progress=lambda event: stages.append(event.stage))
    assert stages[:3] == ["locate", "detect", "refine"] and "search" in stages[3:] and stages[-1] == "refine"
    assert FetalFrame.from_landmarks(found.points).angle_to(truth) < 15
    monkeypatch.setattr(Detector, "search_beyond", lambda *_: iter(()))  # nothing else in the volume
    kept = estimator.estimate(case.volume)
    assert kept.confidence.mean() < found.confidence.mean() and kept.warnings
    with_paper = estimator.with_options(refinement="paper").estimate(case.volume, iterations=1)
    assert with_paper.confidence.mean() < found.confidence.mean()  # only consensus judges a frame


def test_a_batch_is_read_as_its_parts_are(estimator, case):
    network = estimator.detector.networks["orient"]
    images = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    both = network.heatmaps_of_batch(images)
    for image, found in zip(images, both, strict=True):
        torch.testing.assert_close(found, network.heatmaps(image), rtol=0, atol=0.02)


def test_nothing_found_anywhere_is_said(estimator, case, monkeypatch):
    monkeypatch.setattr(Detector, "first_frames", lambda *_: [])
    monkeypatch.setattr(detection, "rounds_of_frames", lambda *_: [])
    with pytest.raises(FetalPoseError, match="No fetus found.*any orientation"):
        estimator.estimate(case.volume)
