"""What every panel shows: rows, doubts, buttons, sentences, and what the views show."""

import numpy as np
import pytest
from session_desk import SKELETON, drag, index
from volume_files import picture, write_nrrd

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import Settings


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


def test_what_the_file_does_not_confirm_is_told_as_on_the_command_line(desk, tmp_path):
    header = [f"sizes: {' '.join(['32'] * 3)}", "spacings: 1.1 1.1 1", "dimension: 3"]
    volume = mrml.read_volume(desk.scene, write_nrrd(tmp_path / "a.nrrd", picture((32, 32, 32)), *header))
    doubts = mrml.doubts_of(volume)
    assert {doubt.code for doubt in doubts} == {"orientation", "one_mm"}
    told = desk.session.geometry_warning(volume)
    assert told.splitlines() == [doubt.sentence for doubt in doubts]
    volume.SetAttribute("FetalPose.Doubts", '[["sides", "mirrored"]]')
    told = desk.session.geometry_warning(volume)
    assert "GE Kretz" in told and "read mirrored" in told and "Nothing confirms" not in told
    desk.session.translate = "(translated) {}".format
    volume.Modified()
    assert desk.session.geometry_warning(volume).startswith("(translated) Left and right are not confirmed")


def test_settings_say_what_the_views_show(desk):
    desk.session.settings = Settings(show_lengths=False, show_names=True)
    pose = desk.session.import_pose(resource_path("sample", "sample.mrk.json"))
    labels = pose.GetNodeReference("FetalPose.LengthLabels")
    assert not labels.GetDisplayNode().GetVisibility() and pose.GetDisplayNode().GetPointLabelsVisibility()
    desk.session.settings = Settings()
    desk.session.show(pose)
    assert labels.GetDisplayNode().GetVisibility() and not pose.GetDisplayNode().GetPointLabelsVisibility()
