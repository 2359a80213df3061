"""The run of a session: steps, ends, settings, and questions that wait for their answer."""

from dataclasses import FrozenInstanceError, replace

import fake_worker
import numpy as np
import pytest
from session_desk import drag, index

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.session import Settings


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


@pytest.mark.parametrize(("mode", "message"), [("crash", "exit code 3"), ("nonsense", "unreadable")])
def test_a_process_that_dies_while_a_question_is_open_ends_the_run_with_its_message(desk, mode, message):
    desk.answer(mode=mode, points=rows_of_points(2 * desk.truth))
    desk.session.estimate(desk.volume)
    desk.wait(lambda: not desk.session.running)  # nobody answers
    assert [name for name, _ in desk.told] == ["asks", "failed"] and desk.session.question is None
    assert message in desk.of("failed")[0].message and desk.session.status.is_warning
    desk.session.answer(True)  # too late
    assert len(desk.told) == 2
    desk.answer(mode="good", points=rows_of_points(desk.truth))
    np.testing.assert_allclose(mrml.points_of(desk.estimate()), desk.truth, atol=1e-6)


def test_a_process_that_dies_behind_an_open_dialog_ends_the_run(desk):
    """A dialog answers within the signal, and its own event loop polls until then."""

    def dialog(_question):
        desk.wait(lambda: not desk.session.running)
        desk.session.answer(True)

    desk.answer(mode="crash", points=rows_of_points(2 * desk.truth))
    desk.session.asks.connect(dialog)
    assert desk.estimate() is None
    assert [name for name, _ in desk.told] == ["asks", "failed"] and not desk.of("pose_shown")
    assert "exit code 3" in desk.session.status.text


def test_a_client_closed_while_a_question_is_open_ends_the_run(desk):
    desk.answer(mode="hang", points=rows_of_points(2 * desk.truth))
    desk.session.estimate(desk.volume)
    desk.wait(lambda: desk.session.question)
    desk.client.close()
    desk.session.poll()
    assert [name for name, _ in desk.told] == ["asks", "cancelled"] and not desk.session.running


def test_where_no_fetus_seems_to_be_a_person_is_asked_before_a_good_pose_is_replaced(desk):
    desk.answer(confidence=[0.3] * 16)
    pose = mrml.create_pose(desk.scene, "good")
    mrml.set_estimate(pose, desk.truth, np.ones(16))
    desk.session.asks.connect(lambda _: desk.session.answer(False))
    assert desk.estimate(pose) is None
    assert "may hold no fetus" in desk.of("asks")[0].text and "0.30" in desk.of("asks")[0].text
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.of("pose_shown")


def test_a_person_may_see_a_pose_that_the_model_does_not_believe(desk):
    desk.answer(confidence=[0.3] * 16)
    desk.session.asks.connect(lambda _: desk.session.answer(True))
    pose = desk.estimate()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert len(desk.of("asks")) == 1
