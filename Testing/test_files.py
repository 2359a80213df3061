"""A result takes the former's place only when it is whole; nothing else in the folder changes."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, locked, replacing


def only_file(folder):
    (path,) = folder.iterdir()  # hidden ones, too
    return path


def test_the_former_file_is_replaced_after_the_block(tmp_path):
    path = tmp_path / "pose.mrk.json"
    path.write_text("former")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "former" and temporary.name == path.name
    assert only_file(tmp_path) == path and path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_former_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "lengths.csv"
    path.write_text("former")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert only_file(tmp_path).read_text() == "former"


def test_an_empty_file_replaces_nothing(tmp_path):
    path = tmp_path / "lengths.csv"
    path.write_text("former")
    with pytest.raises(FetalPoseError, match="nothing was stored"), replacing(path) as temporary:
        temporary.touch()
    assert only_file(tmp_path).read_text() == "former"


def test_a_link_stays_a_link_and_its_target_gets_the_result(tmp_path):
    target, link = tmp_path / "elsewhere.csv", tmp_path / "lengths.csv"
    target.write_text("former")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_rights_are_those_of_the_former_file_or_of_any_new_one(tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("former")
    path.chmod(0o640)
    for one in (path, other):
        with replacing(one) as temporary:
            temporary.write_text("new")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(other.stat().st_mode) == 0o666 & ~mask


def test_nobody_else_can_reach_what_is_being_written(tmp_path):
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
        assert stat.S_IMODE(temporary.parent.stat().st_mode) == 0o700
        assert temporary.parent.parent == tmp_path


@pytest.mark.parametrize(
    ("name", "message"), [("absent/a.csv", "does not exist"), ("", "is a folder"), ("a" * 300 + ".csv", "Cannot write")]
)
def test_what_cannot_be_written_is_one_clear_line(tmp_path, name, message):
    with pytest.raises(FetalPoseError, match=message), replacing(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert not any(tmp_path.iterdir())


def test_another_suffix_is_refused_before_the_work(tmp_path):
    with pytest.raises(FetalPoseError, match=r"must end in \.csv or \.txt"):
        check_writable(tmp_path / "a.nrrd", ".csv", ".txt")
    check_writable(tmp_path / "a.CSV", ".csv", ".txt")
    assert not any(tmp_path.iterdir())


def test_a_lock_keeps_others_away_and_leaves_no_file(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count(_) -> None:
        with locked(counter):
            counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:  # the system's locks are of open files, in one process as in several
        list(pool.map(count, range(200)))
    assert counter.read_text() == "200" and only_file(tmp_path) == counter


def test_the_lock_of_a_folder_goes_with_the_block_whatever_ends_it(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        assert only_file(tmp_path).name == ".lock"
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_a_killed_process_left_does_no_harm(tmp_path):
    (tmp_path / ".counter.lock").touch()
    with locked(tmp_path / "counter", wait_s=0):
        pass
    assert not list(tmp_path.iterdir())
