"""The window of *My library*: what it lists, what it says was left out, and removing."""

import numpy as np
import pytest

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path


@pytest.fixture
def folder(bench, tmp_path):
    """A folder with a library of three poses, chosen in the panel."""
    bodies = PoseLibrary.load(resource_path("pose_library.npz")).poses[:3]
    library = PoseLibrary(bodies, ["own-1", "own-2", "own-3"], {"added": {"own-2": "2026-11-28"}})
    library.save(tmp_path / "my-poses.npz")
    bench.ui.libraryEdit.currentPath = str(tmp_path)
    return tmp_path


@pytest.fixture
def window(bench, folder):
    """The window over the panel's session; a question is answered as `bench.dialogs` says."""
    from FetalPoseModuleLib.librarydialog import LibraryDialog

    session = bench.session
    dialog = LibraryDialog(session.own_library, session.remove_from_library, bench.dialogs.confirm, bench.frame)
    yield dialog
    dialog.window.deleteLater()


def rows(dialog) -> list[tuple[str, ...]]:
    table = dialog.table
    return [tuple(table.item(row, column).text() for column in range(3)) for row in range(table.rowCount)]


def test_poses_are_listed_with_day_and_length(bench, window):
    names, days, lengths = zip(*rows(window), strict=True)
    assert names == ("own-1", "own-2", "own-3") and days == ("not known", "2026-11-28", "not known")
    for length, pose in zip(lengths, bench.session.own_library().poses, strict=True):
        assert length == f"{pose.crl_mm:.1f} mm" and 20 < pose.crl_mm < 120
    assert "3 poses" in window.note.text and not window.removeButton.enabled


def test_the_selected_pose_is_removed_after_a_question(bench, window, folder):
    window.table.selectRow(1)
    assert window.removeButton.enabled
    bench.dialogs.answer = False
    window.removeButton.click()
    assert len(rows(window)) == 3 and "own-2" in bench.dialogs.asked[-1]
    bench.dialogs.answer = True
    window.removeButton.click()
    assert [row[0] for row in rows(window)] == ["own-1", "own-3"] and not window.removeButton.enabled
    assert PoseLibrary.load(folder / "my-poses.npz").names == ("own-1", "own-3")
    for _ in range(2):
        window.table.selectRow(0)
        window.removeButton.click()
    assert rows(window) == [] and "no pose yet" in window.note.text


def test_what_is_left_out_on_loading_is_said_as_plain_text(folder, window):
    import qt  # which the application brings

    library = PoseLibrary.load(folder / "my-poses.npz")
    poses = np.concatenate([library.poses, np.zeros((1, 16, 3))])
    PoseLibrary(poses, [*library.names, "<img src=x> bad"]).save(folder / "my-poses.npz")
    window.update()
    assert len(rows(window)) == 3
    assert "<img src=x> bad" in window.note.text and "left out" in window.note.text and window.note.styleSheet
    assert window.note.textFormat == qt.Qt.PlainText


def test_a_library_that_cannot_be_read_and_a_pose_that_is_gone_are_said(bench, window, folder):
    window.table.selectRow(0)
    bench.session.remove_from_library("own-1")  # by another program
    window.removeButton.click()
    assert "no pose 'own-1'" in window.note.text and len(rows(window)) == 2
    (folder / "my-poses.npz").write_bytes(b"damaged")
    window.update()
    assert rows(window) == [] and "my-poses.npz" in window.note.text and window.note.styleSheet


def test_the_button_opens_it_and_says_when_no_folder_is_chosen(bench, folder):
    bench.ui.manageLibraryButton.click()
    assert [pose.name for pose in bench.dialogs.asked[-1].poses] == ["own-1", "own-2", "own-3"]
    bench.ui.libraryEdit.currentPath = ""
    bench.ui.manageLibraryButton.click()
    assert "Choose a folder for your library" in bench.status
    with pytest.raises(FetalPoseError, match="Choose a folder"):
        bench.session.remove_from_library("own-1")
