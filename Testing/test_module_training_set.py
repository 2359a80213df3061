"""The panel's button that puts a corrected pose with its volume into a training set."""

import numpy as np

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.training.folders import find_pairs

NECK = load_skeleton().index("neck")


def test_corrected_pose_and_its_volume_go_into_the_folder_that_is_asked_for_once(bench):
    assert not bench.ui.addToTrainingSetButton.enabled
    bench.volume().SetOrigin(*(bench.truth.mean(axis=0) - 39.0))  # the middle of the fetus in that of 40 voxels of 2 mm
    bench.estimate()
    assert bench.ui.addToTrainingSetButton.enabled
    bench.dialogs.path = bench.folder / "set"
    bench.ui.addToTrainingSetButton.click()
    assert "case0001" in bench.status and "Nobody has placed" in bench.status
    (pair,) = find_pairs(bench.folder / "set")
    _, points = pair.read()
    np.testing.assert_allclose(points[NECK], bench.truth[NECK], atol=1e-3)
    bench.dialogs.path = bench.folder / "elsewhere"
    bench.ui.addToTrainingSetButton.click()
    assert "already, as case0001.nrrd" in bench.status and not (bench.folder / "elsewhere").exists()
    bench.ui.addToTrainingSetButton.click()  # what could not be written is asked for anew
    assert (bench.folder / "elsewhere" / "case0001.nrrd").exists()


def test_no_folder_chosen_writes_and_says_nothing(bench):
    bench.estimated()
    before = bench.status
    bench.dialogs.path = ""
    bench.ui.addToTrainingSetButton.click()
    assert bench.status == before
