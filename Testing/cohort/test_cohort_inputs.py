"""Which volumes a study has, and the key that tells which is which."""

import os

import pytest
from volume_files import picture, write_slices

from FetalPoseLib.cohort.content import content_of, stamp_of
from FetalPoseLib.cohort.inputs import Input, list_inputs
from FetalPoseLib.cohort.jobs import EstimateJob, Outcome, SimulateJob, answer_in, answer_line, job_in, job_line
from FetalPoseLib.cohort.key_file import KeyFile
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions


def names(given, root) -> list[str]:
    return [str(one.path.relative_to(root)) for one in list_inputs([str(path) for path in given])]


@pytest.fixture
def tree(tmp_path):
    for name in ("a.nrrd", "deep/b.nii.gz", "deep/c.vol", "deep/notes.txt", "deep/.hidden.nrrd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    write_slices(tmp_path / "series", picture((4, 5, 6)))
    return tmp_path


def test_a_folder_holds_volumes_at_any_depth_and_slices_are_one(tree):
    assert names([tree], tree) == ["a.nrrd", "deep/b.nii.gz", "deep/c.vol", "series"]


def test_globs_and_files_are_taken_once_in_their_order(tree):
    given = [tree / "deep" / "*.vol", tree / "a.nrrd", tree / "**" / "*.nrrd"]
    assert names(given, tree) == ["deep/c.vol", "a.nrrd"]


def test_a_list_says_what_is_known(tree):
    text = (
        "Pseudonym;path;date;gestational_age;frame;mirrored;comment\nP-1;a.nrrd;2026-03-31;12w3d;2;yes;x\n;deep/c.vol\n"
    )
    (tree / "list.csv").write_text("\ufeff" + text, encoding="utf-8")
    first, second = list_inputs([str(tree / "list.csv")])
    assert first == Input(tree / "a.nrrd", "P-1", "2026-03-31", 87, 2, True)
    assert second == Input(tree / "deep" / "c.vol")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file\na.nrrd\n", "no column path, only file"),
        ("path,pseudonym\na.nrrd,P1\n,P2\n", "line 3: the column path is empty"),
        ("path,pseudonym\na.nrrd,../x\n", "line 2: the pseudonym names files"),
        ("path,pseudonym\na.nrrd,Jane Doe\n", "line 2: the pseudonym names files"),
        ("path,date\na.nrrd,31.3.2026\n", "'31.3.2026' is no date. Write it like 2026-03-31"),
        ("path,gestational_age\na.nrrd,12\n", "line 2: '12' is not a gestational age"),
        ("path,frame\na.nrrd,0\n", "the frame '0' is no number from 1"),
        ("path,mirrored\na.nrrd,perhaps\n", "Write yes or no"),
    ],
)
def test_a_list_that_cannot_be_used_is_a_message_with_its_line(tree, text, message):
    (tree / "list.csv").write_text(text)
    with pytest.raises(FetalPoseError) as error:
        list_inputs([str(tree / "list.csv")])
    assert message in str(error.value)


def test_what_is_not_there_is_a_message(tmp_path):
    (tmp_path / "empty").mkdir()
    for given, message in (
        ("gone.nrrd", "does not exist"),
        ("*.nrrd", "Nothing matches"),
        ("empty", "holds no volume"),
    ):
        with pytest.raises(FetalPoseError, match=message):
            list_inputs([str(tmp_path / given)])


def test_the_content_is_that_of_all_files_of_a_volume(tmp_path):
    header = (
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 40 36 32\nspacings: 1 1 1\nencoding: raw\ndata file: v.raw\n\n"
    )
    (tmp_path / "v.nhdr").write_text(header)
    (tmp_path / "v.raw").write_bytes(picture().tobytes())
    one = content_of(tmp_path / "v.nhdr")
    (tmp_path / "v.raw").write_bytes(picture(seed=1).tobytes())
    assert content_of(tmp_path / "v.nhdr") != one
    folder = write_slices(tmp_path / "series", picture((4, 5, 6)))
    two = content_of(folder)
    folder.rename(tmp_path / "elsewhere")
    assert content_of(tmp_path / "elsewhere") == two
    with pytest.raises(FetalPoseError, match="does not exist"):
        content_of(tmp_path / "gone.nrrd")
    os.mkfifo(tmp_path / "pipe.nrrd")
    with pytest.raises(FetalPoseError, match="pipe"):
        content_of(tmp_path / "pipe.nrrd")


def test_the_key_keeps_numbers_and_contents(tmp_path):
    volume = tmp_path / "ä\udcff.nrrd"
    volume.write_bytes(b"one")
    study, one = tmp_path / "study", Input(volume)
    key = KeyFile(study)
    assert key.number_of(Input(tmp_path / "other.nrrd")) == 1 and key.number_of(one) == 2
    assert key.learn(one, Outcome(2, "P-1", "c0ffee"), stamp_of(volume)) == ""
    key.save()
    key = KeyFile(study)
    assert key.number_of(one) == 2 and key.content_of(one) == "c0ffee" and key.name_of(one) == "P-1"
    volume.write_bytes(b"other")
    assert key.content_of(one) == "", "it has changed since"
    assert key.learn(one, Outcome(2, "P-2", "decaf"), stamp_of(volume)) == "P-1"
    (tmp_path / "study-key.csv").write_text("number,name\nx,y\n")
    with pytest.raises(FetalPoseError, match="not the key of a study"):
        KeyFile(study)


def test_jobs_and_outcomes_travel_as_lines():
    options = EstimateOptions("r4", "cpu", "paper", 2, k=5, spacing_mm=1.5, libraries=("a.npz",))
    job = EstimateJob(3, "/s", "key", "/in/DOE.nrrd", options, "P", "2026-01-01", 87, 2, True, True, ("python",))
    for one in (job, SimulateJob(7, "/s", 0.5, "fresh2")):
        assert job_in(job_line(one)) == one
    outcome = Outcome(3, "P-1", "c0ffee", "crash", "It crashed.", True, 1.5)
    assert answer_in(answer_line(outcome)) == outcome
    assert "DOE" not in repr(job), "Dask writes it into its logs"
