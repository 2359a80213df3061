"""A session on a real scene without Qt: the run with a scripted process, questions, corrections, undo, files."""

import csv
import json
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import fake_worker
import numpy as np
import pytest

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import PoseSession, Settings, Signal
from FetalPoseLib.session.user_library import Atlases, add_pose
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import EstimateRequest, decode_request

SKELETON = load_skeleton()
ROOT = Path(__file__).resolve().parent.parent
SIGNALS = ("pose_shown", "finished", "failed", "cancelled", "asks", "corrected", "devices_known")


def index(name):
    return SKELETON.index(name)


class Desk:
    """A session with a scripted process, and all that its signals told, in order."""

    def __init__(self, scene, folder):
        self.scene, self.log = scene, folder / "requests.txt"
        self.truth = mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))
        self.plan = {"points": rows_of_points(self.truth), "confidence": [0.9] * 16, "log": str(self.log)}
        self.client = WorkerClient(command=fake_worker.command(self.plan))
        self.session = PoseSession(scene, self.client)
        self.told, self.statuses = [], []
        for name in SIGNALS:
            getattr(self.session, name).connect(lambda value, name=name: self.told.append((name, value)))
        self.session.status_changed.connect(self.statuses.append)
        self.volume = self.add_volume()

    def add_volume(self):
        array = np.random.default_rng(0).integers(1, 255, (40, 40, 40), dtype=np.uint8)
        return mrml.add_volume(self.scene, Volume(array, np.diag([2.0, 2.0, 2.0, 1.0])), "Volume")

    def answer(self, **plan):
        """Let the process answer otherwise from its next start on."""
        self.plan |= plan
        self.client.close()
        self.session.poll()
        self.client.command = fake_worker.command(self.plan)

    def wait(self, condition):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, f"waited in vain; the status is {self.session.status}"
            self.session.poll()
            time.sleep(0.002)

    def estimate(self, pose=None, **options):
        self.session.estimate(self.volume, pose, **options)
        self.wait(lambda: not self.session.running)
        results = self.of("finished")
        return results[-1].pose if results else None

    def of(self, name):
        return [value for told, value in self.told if told == name]

    def request(self) -> EstimateRequest:
        return decode_request(self.log.read_text().splitlines()[-1])[1]


@pytest.fixture
def desk(scene, tmp_path):
    desk = Desk(scene, tmp_path)
    yield desk
    desk.session.close()


def drag(pose, name, *path):
    """What the markups widget of a view does from press to release."""
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    for point in path:
        pose.SetNthControlPointPositionWorld(index(name), *map(float, point))
    pose.InvokeEvent(pose.PointEndInteractionEvent)


# the run


def test_a_run_shows_its_first_pose_refines_it_and_ends(desk):
    offsets = []
    desk.session.progressed.connect(
        lambda event: (
            offsets.append((mrml.points_of(desk.of("pose_shown")[0].pose) - desk.truth)[0, 0])
            if event.progress.points is not None
            else None
        )
    )
    pose = desk.estimate()
    np.testing.assert_allclose(offsets, [3, 2, 1, 0], atol=1e-6)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert [name for name, _ in desk.told] == ["pose_shown", "finished"]
    assert desk.of("pose_shown")[0].recentre and desk.session.volume_of(pose) is desk.volume
    assert pose.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert not desk.session.history(pose).can_undo
    assert [status.text for status in desk.statuses[-3:]] == [
        "Refinement 2 of 3",
        "Refinement 3 of 3",
        "Done. Check the landmarks; drag what is wrong.",
    ]
    assert [status.step for status in desk.statuses] == [0, 1, 2, 3, 4, 5, 0] and desk.session.status.steps == 0


def test_warnings_of_the_estimator_are_the_status(desk):
    desk.answer(warnings=["Check every landmark."])
    desk.estimate()
    assert desk.session.status.text == "Check every landmark." and desk.session.status.is_warning


@pytest.mark.parametrize(
    ("mode", "message"),
    [("crash", "exit code 3"), ("nonsense", "unreadable"), ("failed", "looks like a fetus")],
)
def test_a_process_that_dies_is_a_failure_and_the_next_run_works(desk, mode, message):
    desk.answer(mode=mode)
    assert desk.estimate() is None
    [failure] = desk.of("failed")
    assert message in failure.message and desk.session.status.is_warning
    desk.answer(mode="good")
    np.testing.assert_allclose(mrml.points_of(desk.estimate()), desk.truth, atol=1e-6)


def test_cancel_ends_the_run_at_once_and_the_pose_stays_as_far_as_it_came(desk):
    desk.answer(mode="hang")
    desk.session.estimate(desk.volume)
    desk.wait(lambda: desk.of("pose_shown"))
    with pytest.raises(FetalPoseError, match="is being estimated"):
        desk.session.estimate(desk.volume)
    desk.session.cancel()
    [pose] = desk.of("cancelled")
    assert not desk.session.running and desk.session.status.text == "Cancelled."
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth + 3, atol=1e-6)
    desk.session.poll()
    assert len(desk.of("cancelled")) == 1 and not desk.of("failed")


def test_a_slot_that_cancels_ends_the_run(desk):
    desk.session.pose_shown.connect(lambda _: desk.session.cancel())
    desk.estimate()
    assert [name for name, _ in desk.told] == ["pose_shown", "cancelled"] and desk.session.status.text == "Cancelled."


def test_an_error_of_a_slot_ends_the_run_with_its_message(desk):
    def broken(_):
        raise RuntimeError("no view to show it in")

    desk.session.pose_shown.connect(broken)
    desk.estimate()
    assert [failure.message for failure in desk.of("failed")] == ["no view to show it in"]


@pytest.mark.parametrize("what", ["volume", "pose", "scene"])
def test_what_is_deleted_while_it_runs_ends_the_run(desk, what):
    desk.answer(mode="hang")
    desk.session.estimate(desk.volume)
    desk.wait(lambda: desk.of("pose_shown"))
    if what == "scene":
        desk.scene.Clear(0)
    else:
        desk.scene.RemoveNode(desk.volume if what == "volume" else desk.of("pose_shown")[0].pose)
    desk.session.poll()
    [failure] = desk.of("failed")
    assert f"The {what} was" in failure.message and not desk.session.running
    desk.answer(mode="good")
    desk.volume = desk.add_volume()
    np.testing.assert_allclose(mrml.points_of(desk.estimate()), desk.truth, atol=1e-6)


def test_a_second_run_renews_the_pose_in_one_step_but_never_a_corrected_one(desk):
    pose = desk.estimate()
    desk.answer(points=rows_of_points(desk.truth + 1))
    assert desk.estimate(pose) is pose
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth + 1, atol=1e-6)
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.session.history(pose).can_undo
    drag(pose, "head", (1, 2, 3))
    assert desk.estimate(pose) is not pose
    np.testing.assert_allclose(mrml.points_of(pose)[index("head")], (1, 2, 3))


def test_devices_are_told_and_none_by_a_process_that_cannot_start(desk):
    desk.session.ask_for_devices()
    assert desk.session.awaits_events
    desk.wait(lambda: desk.of("devices_known"))
    assert desk.of("devices_known") == [(fake_worker.DEVICE,)] and not desk.session.awaits_events
    desk.client.close()
    desk.client.command = ["no-such-python"]
    desk.session.ask_for_devices()
    desk.wait(lambda: len(desk.of("devices_known")) == 2)
    assert desk.of("devices_known")[1] == ()


# settings


def test_settings_are_frozen_and_reach_the_network(desk, tmp_path):
    options = EstimateOptions(model="r4", iterations=3, refinement="holding", k=5, spacing_mm=1.25, device="cpu")
    desk.session.settings = Settings(options, library_folder=str(tmp_path / "library"))
    with pytest.raises(FrozenInstanceError):
        desk.session.settings.mirrored = True
    pose = desk.estimate()
    assert desk.request().options == options  # the person's library is not there yet
    assert desk.session.add_to_library(pose) == 1
    desk.estimate()
    assert desk.request().options == replace(options, libraries=(str(tmp_path / "library" / "my-poses.npz"),))


def test_a_mirrored_volume_gets_its_pose_mirrored_in_place(desk):
    desk.session.settings = Settings(mirrored=True)
    pose = desk.estimate()
    expected = desk.truth * [-1, 1, 1] + [78, 0, 0]  # 40 voxels of 2 mm, the first centre at 0
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    np.testing.assert_allclose(desk.request().ijk_to_ras @ [0, 0, 0, 1], [78, 0, 0, 1])


# questions


def test_a_question_waits_for_its_answer_and_the_run_with_it(desk):
    desk.answer(points=rows_of_points(2 * desk.truth))
    desk.session.estimate(desk.volume)
    desk.wait(lambda: desk.session.question)
    desk.wait(lambda: not desk.client.running)  # all has been said; nothing may be shown
    assert desk.session.running and not desk.of("pose_shown")
    assert desk.of("asks") == [desk.session.question] and "10 to 14 weeks" in desk.session.question.text
    desk.session.answer(True)
    assert not desk.session.running and desk.session.question is None
    np.testing.assert_allclose(mrml.points_of(desk.of("finished")[0].pose), 2 * desk.truth, atol=1e-6)
    assert len(desk.of("asks")) == 1


def test_no_ends_the_run_without_a_pose(desk):
    desk.answer(points=rows_of_points(2 * desk.truth))
    desk.session.asks.connect(lambda _: desk.session.answer(False))  # as a dialog does, within the signal
    desk.estimate()
    assert [name for name, _ in desk.told] == ["asks", "cancelled"] and desk.of("cancelled") == [None]
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_yes_within_the_signal_goes_on(desk):
    desk.answer(points=rows_of_points(2 * desk.truth))
    desk.session.asks.connect(lambda _: desk.session.answer(True))
    steps = []
    desk.session.progressed.connect(lambda event: steps.append(event.progress.stage))
    assert desk.estimate() is not None and len(desk.of("asks")) == 1
    assert steps == ["locate", "detect", "refine", "refine", "refine"]  # the pose that was asked about is shown, too


def test_an_answer_without_a_question_changes_nothing(desk):
    desk.answer(points=rows_of_points(2 * desk.truth))
    desk.session.answer(True)
    desk.session.estimate(desk.volume)
    desk.session.answer(False)
    desk.session.answer(True)
    desk.wait(lambda: desk.session.question)
    assert desk.session.running and not desk.of("pose_shown")


def test_cancel_while_a_question_is_open_and_an_answer_that_comes_too_late(desk):
    desk.answer(points=rows_of_points(2 * desk.truth))
    desk.session.estimate(desk.volume)
    desk.wait(lambda: desk.session.question)
    desk.session.cancel()
    desk.session.answer(True)
    desk.session.poll()
    assert [name for name, _ in desk.told] == ["asks", "cancelled"] and desk.session.question is None


# corrections


def test_a_drag_is_one_step_of_undo(desk):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert desk.of("corrected") == [pose] and mrml.moved_landmarks(pose) == ("left_knee",)
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.session.history(pose).can_undo
    desk.session.redo(pose)
    np.testing.assert_allclose(mrml.points_of(pose)[index("left_knee")], (7, 8, 9))
    assert not desk.session.history(pose).can_redo


def test_a_drag_that_never_ends_is_abandoned_and_the_next_is_one_step(desk):
    pose = desk.estimate()
    desk.session.history(pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    pose.SetNthControlPointPositionWorld(index("left_knee"), 1.0, 2.0, 3.0)
    desk.session.abandon()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.session.history(pose).can_undo and mrml.moved_landmarks(pose) == ()
    desk.session.abandon()  # nothing to end
    drag(pose, "head", (1, 2, 3), (4, 5, 6))
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


def test_a_lost_release_does_not_block_the_undo_of_later_drags(desk):
    pose = desk.estimate()
    desk.session.history(pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    drag(pose, "head", (1, 2, 3))
    assert desk.session.history(pose).can_undo


def test_a_drag_abandoned_during_a_run_leaves_the_points_to_the_run(desk):
    pose = desk.estimate()
    desk.answer(mode="hang", points=rows_of_points(desk.truth + 1))
    desk.session.estimate(desk.volume, pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    desk.wait(lambda: len(desk.of("pose_shown")) == 2)
    desk.session.abandon()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth + 4, atol=1e-6)
    desk.session.cancel()
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


@pytest.mark.parametrize("limb", ["left_arm", "left_leg", None])
def test_left_and_right_change_places_in_one_step(desk, limb):
    pose = desk.estimate()
    desk.session.swap_sides(pose, limb)
    expected = desk.truth[SKELETON.mirror]
    if limb is not None:
        moved = {*SKELETON.limbs[limb], *SKELETON.limbs[SKELETON.partner(limb)]}
        kept = [i for i in range(16) if i not in moved]
        expected[kept] = desk.truth[kept]
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


def test_reset_and_not_visible_concern_one_landmark(desk):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3))
    drag(pose, "right_knee", (4, 5, 6))
    desk.session.reset_landmark(pose, "left_knee")
    assert mrml.moved_landmarks(pose) == ("right_knee",)
    desk.session.set_visible(pose, "left_knee", False)
    row = desk.session.landmark_rows(pose)[index("left_knee")]
    assert row.text == "hidden by you" and row.marked_not_visible and row.position is None
    assert [row.text for row in desk.session.length_rows(pose)].count("-") == 2
    desk.session.set_visible(pose, "left_knee", True)
    np.testing.assert_allclose(
        mrml.points_of(pose)[index("left_knee")], desk.truth[index("left_knee")], atol=1e-4
    )  # stored to 1e-4 mm


def test_corrections_stay_and_steer_the_others(desk):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="No landmark was moved"):
        desk.session.estimate(desk.volume, pose, refine=True)
    with pytest.raises(FetalPoseError, match="all its landmarks"):
        desk.session.estimate(desk.volume, None, refine=True)
    drag(pose, "left_knee", (1, 2, 3))
    desk.session.set_visible(pose, "right_wrist", False)
    desk.answer(points=rows_of_points(desk.truth + 2))
    assert desk.estimate(pose, refine=True) is pose
    request = desk.request()
    assert list(request.placed) == [index("left_knee")]
    np.testing.assert_array_equal(request.placed[index("left_knee")], (1, 2, 3))
    assert np.isnan(request.start[index("right_wrist")]).all()
    expected = desk.truth + 2
    expected[index("left_knee")], expected[index("right_wrist")] = (1, 2, 3), np.nan
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    assert not desk.of("pose_shown")[-1].recentre
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose)[0], desk.truth[0], atol=1e-6)


def test_points_deleted_or_renamed_by_hand_leave_a_session_that_works(desk):
    pose = desk.estimate()
    pose.SetNthControlPointLabel(index("head"), "renamed")
    pose.SetFixedNumberOfControlPoints(False)
    pose.RemoveNthControlPoint(index("left_ankle"))
    desk.session.swap_sides(pose)
    desk.session.undo(pose)
    desk.session.reset_landmark(pose, "left_ankle")
    desk.session.set_visible(pose, "left_ankle", False)
    assert [row.text for row in desk.session.length_rows(pose)].count("-") == 2
    assert desk.estimate(pose) is not pose


# the panel


def test_rows_say_lengths_confidences_and_what_a_person_did(desk):
    assert [row.text for row in desk.session.length_rows(None)] == [""] * 15
    assert [row.text for row in desk.session.landmark_rows(None)] == [""] * 16
    pose = desk.estimate()
    rows = desk.session.length_rows(pose)
    assert [row.text for row in rows] == [f"{length:.1f}" for length in segment_lengths(desk.truth)]
    assert [row.name for row in rows] == [segment.name for segment in SKELETON.segments]
    np.testing.assert_allclose(rows[0].middle, (desk.truth[index("head")] + desk.truth[index("neck")]) / 2)
    drag(pose, "left_knee", (1, 2, 3))
    texts = [row.text for row in desk.session.landmark_rows(pose)]
    assert texts.pop(index("left_knee")) == "placed by you" and set(texts) == {"0.90"}


def test_doubts_mark_rows_points_and_text_until_a_person_placed_the_landmark(desk):
    desk.answer(confidence=[0.1 if i == index("left_wrist") else 0.9 for i in range(16)])
    pose = desk.estimate()
    doubts = desk.session.doubts(pose)
    row = desk.session.landmark_rows(pose, doubts)[index("left_wrist")]
    assert "confidence 0.10" in row.mark and row.mark.endswith(row.reasons[0])
    assert desk.session.doubts_text(doubts) == "The model is unsure of: left wrist."
    assert not pose.GetNthControlPointSelected(index("left_wrist"))
    drag(pose, "left_wrist", desk.truth[index("left_wrist")] + 0.5)
    assert desk.session.doubts(pose) == [] and desk.session.doubts_text([]) == ""
    assert pose.GetNthControlPointSelected(index("left_wrist"))
    drag(pose, "right_ankle", desk.truth[index("right_ankle")] + 40)
    rows = desk.session.length_rows(pose, desk.session.doubts(pose))
    assert ["long" in row.mark for row in rows if row.name == "right_lower_leg"] == [True]


def test_buttons_follow_pose_volume_selection_and_run(desk):
    def clickable(*chosen):
        buttons = desk.session.buttons(*chosen)
        return {name for name, value in vars(buttons).items() if value is True}

    assert clickable(None, None) == {"import_pose"}
    assert desk.session.buttons(None, None).estimate_tip == "Choose a volume first."
    assert clickable(None, desk.volume) == {"import_pose", "estimate"}
    pose = desk.estimate()
    idle = {"import_pose", "estimate", "swap", "export", "add_to_library"}
    assert clickable(pose, desk.volume) == idle
    assert clickable(pose, desk.volume, "head") == idle | {"reset", "not_visible"}
    desk.session.set_visible(pose, "head", False)
    marked = {"reset", "not_visible", "not_visible_checked", "undo", "refine"}
    assert clickable(pose, desk.volume, "head") == idle | marked
    assert "refine" not in clickable(pose, None, "head")
    desk.session.undo(pose)
    assert clickable(pose, desk.volume) == idle | {"redo"}
    desk.answer(mode="hang")
    desk.session.estimate(desk.volume, pose)
    assert clickable(pose, desk.volume) == {"cancel"}


def test_every_sentence_goes_through_the_translation(desk):
    desk.session.translate = str.upper
    with pytest.raises(FetalPoseError, match="ALL ITS LANDMARKS"):
        desk.session.estimate(desk.volume, refine=True)
    assert desk.session.buttons(None, None).estimate_tip == "CHOOSE A VOLUME FIRST."
    desk.session.estimate(desk.volume)
    assert desk.session.status.text == "STARTING THE NETWORK ..."
    desk.session.cancel()
    assert desk.session.status.text == "CANCELLED."


def test_a_volume_whose_geometry_nothing_confirms_is_pointed_out(desk):
    assert desk.session.geometry_warning(None) == ""
    assert "2, 2, 2 mm" in desk.session.geometry_warning(desk.volume)
    storage = desk.scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName("volume.nrrd")
    desk.volume.SetAndObserveStorageNodeID(storage.GetID())
    assert desk.session.geometry_warning(desk.volume) == ""
    desk.volume.SetSpacing(1, 1, 1)
    assert "exactly 1 mm" in desk.session.geometry_warning(desk.volume)


def test_settings_say_what_the_views_show(desk):
    desk.session.settings = Settings(show_lengths=False, show_names=True)
    pose = desk.session.import_pose(resource_path("sample", "sample.mrk.json"))
    labels = pose.GetNodeReference("FetalPose.LengthLabels")
    assert not labels.GetDisplayNode().GetVisibility() and pose.GetDisplayNode().GetPointLabelsVisibility()
    desk.session.settings = Settings()
    desk.session.show(pose)
    assert labels.GetDisplayNode().GetVisibility() and not pose.GetDisplayNode().GetPointLabelsVisibility()


# files


def test_export_and_import_keep_lengths_origin_and_corrections(desk, tmp_path):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3))
    table = [row.text for row in desk.session.length_rows(pose)]
    desk.session.export_pose(pose, tmp_path / "pose.mrk.json")
    desk.session.export_table(pose, tmp_path / "pose.csv")
    with open(tmp_path / "pose.csv", newline="") as file:
        assert [f"{float(row['length_mm']):.1f}" for row in csv.DictReader(file)] == table
    desk.scene.Clear(0)
    again = desk.session.import_pose(tmp_path / "pose.mrk.json")
    assert [row.text for row in desk.session.length_rows(again)] == table
    assert again.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert mrml.moved_landmarks(again) == ("left_knee",)


@pytest.mark.parametrize("name", ["no/such/folder.csv", "pose.txt"])
def test_a_table_that_cannot_be_written_is_a_message(desk, tmp_path, name):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="does not exist|must end in .csv"):
        desk.session.export_table(pose, tmp_path / name)


def test_markups_of_anyone_are_adopted_and_others_refused(desk, tmp_path):
    points = [{"label": name, "position": [i, 2 * i, 3 * i]} for i, name in enumerate(SKELETON.landmarks[::-1])]
    markups = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points}
    (tmp_path / "theirs.mrk.json").write_text(json.dumps({"markups": [markups]}))
    pose = desk.session.import_pose(tmp_path / "theirs.mrk.json")
    np.testing.assert_allclose(mrml.points_of(pose)[0], [15, 30, 45])
    node = desk.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Targets")
    with pytest.raises(FetalPoseError, match="'Targets' are not a fetal pose"):
        desk.session.adopt(node)
    assert node.GetNumberOfMeasurements() == 0


def test_the_persons_library_takes_whole_poses_without_their_place(desk, tmp_path):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="Choose a folder"):
        desk.session.add_to_library(pose)
    (tmp_path / "file").write_text("")
    desk.session.settings = Settings(library_folder=str(tmp_path / "file"))
    with pytest.raises(FetalPoseError, match="cannot be made"):
        desk.session.add_to_library(pose)
    desk.session.settings = Settings(library_folder=str(tmp_path / "library"))
    assert [desk.session.add_to_library(pose) for _ in range(2)] == [1, 2]
    library = PoseLibrary.load(tmp_path / "library" / "my-poses.npz")
    assert library.names == ("own-1", "own-2")
    np.testing.assert_allclose(library.poses[0], desk.truth - desk.truth[index("neck")], atol=1e-6)
    desk.session.set_visible(pose, "left_knee", False)
    with pytest.raises(FetalPoseError, match="Place left_knee first"):
        desk.session.add_to_library(pose)


def test_atlases_are_read_again_only_where_the_persons_library_changed(desk, tmp_path):
    atlases, path = Atlases(), tmp_path / "my-poses.npz"
    bundled = atlases.with_own(path)
    assert atlases.with_own(path) is bundled
    add_pose(desk.estimate(), path)
    own = atlases.with_own(path)
    assert own.names == (*bundled.names, "own-1") and atlases.with_own(path) is own
    path.write_bytes(b"not a library")
    assert atlases.with_own(path) is None  # logged: a pose can be shown without them


# the session and what is around it


def test_close_ends_the_process_and_lets_go_of_scene_and_poses(desk):
    pose = desk.estimate()
    pid_before = desk.client.pid
    desk.session.close()
    desk.told.clear()
    assert pid_before is not None and desk.client.pid is None
    for event in (pose.PointModifiedEvent, pose.PointStartInteractionEvent, pose.PointEndInteractionEvent):
        assert not pose.HasObserver(event)
    drag(pose, "head", (1, 2, 3))
    desk.scene.Clear(0)
    assert desk.told == []


def test_a_signal_tells_each_slot_once_and_none_that_is_disconnected():
    told, signal = [], Signal()
    signal.connect(told.append)
    signal.connect(told.append)
    signal.emit(1)
    signal.disconnect(told.append)
    signal.disconnect(told.append)
    signal.emit(2)
    assert told == [1]


def test_a_session_needs_neither_torch_nor_an_application():
    code = (
        "import sys, slicer, FetalPoseLib.session as s; from FetalPoseLib.scene import new_scene\n"
        "from FetalPoseLib.worker.client import WorkerClient\n"
        "s.PoseSession(new_scene(), WorkerClient()).close()\n"
        "assert not hasattr(slicer, 'app')\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'safetensors', 'qt', 'ctk', 'PySide6')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
