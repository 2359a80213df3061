"""Names and identifiers of patients reach no output: not from file names, nor from DICOM and Kretz headers."""

import fake_worker
import numpy as np
import pytest
from cohort_runs import Told
from kretz_files import HOSPITAL, PATIENT, cartesian_items, kretz
from volume_files import picture, write_nrrd, write_slices

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.cohort.options import ClusterOptions, CohortOptions
from FetalPoseLib.cohort.privacy import private_words, vocabulary, without_names
from FetalPoseLib.cohort.run import run_cohort

POINTS = np.random.default_rng(1).uniform(5, 20, (16, 3))
NAMES = ("MUSTERFRAU", "ERIKA", "19800229", "Beispielsee", "Zyxwvut", "Quirin", "4711081500", "Hebammenhaus")


def identified(data, index):
    data.PatientName, data.PatientID, data.PatientBirthDate = "Zyxwvut^Quirin", "4711081500", "19800229"
    data.InstitutionName, data.StudyDescription = "Hebammenhaus", "Zyxwvut 12w3d"


@pytest.fixture
def inputs(tmp_path):
    """Good and bad volumes of all kinds, each with names wherever a name can be."""
    folder = tmp_path / "Zyxwvut_Quirin"
    folder.mkdir()
    header = ("dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1")
    write_nrrd(folder / "MUSTERFRAU_ERIKA_19800229.nrrd", picture(), *header, "patient:=MUSTERFRAU")
    write_nrrd(folder / "ERIKA.nrrd", picture(seed=1), *header[:2], "space: MUSTERFRAU-ERIKA", "spacings: 1 1 1")
    (folder / "4711081500.nhdr").write_text(
        "NRRD0004\ntype: uchar\n" + "\n".join(header) + "\ndata file: ERIKA.raw\n\n"
    )
    (folder / "Quirin.nii").write_bytes(b"Zyxwvut" * 90)
    assert PATIENT and HOSPITAL
    (folder / "Hebammenhaus.vol").write_bytes(kretz(cartesian_items(picture(seed=2), 1.0)))
    (folder / "ERIKA.vol").write_bytes(kretz(cartesian_items(picture(seed=3), 1.0))[:700])
    write_slices(folder / "Zyxwvut good", picture(seed=4), identified, spacing=(1, 1), step=1)

    def two_series(data, index):
        identified(data, index)
        data.SeriesInstanceUID = f"1.2.3.{4711081500 + index % 2}"

    series = write_slices(folder / "Quirin bad", picture((6, 7, 8)), two_series)
    for path in list(series.iterdir()):
        path.rename(path.with_name(f"ERIKA_{path.name}"))
    return folder


@pytest.fixture
def leaked(tmp_path):
    """Where a name stands in a folder: in a file's name or in its bytes, as Latin letters or UTF-16."""

    def look(folder) -> list[str]:
        found = []
        for path in folder.rglob("*"):
            told = str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"")
            found += [
                f"{path.name}: {n}"
                for n in NAMES
                if n.lower().encode() in told.lower() or n.encode("utf-16-le") in told
            ]
        return found

    return look


def test_no_name_reaches_any_output(cluster, inputs, tmp_path, leaked, capfd, caplog):
    plan = {"points": rows_of_points(POINTS), "confidence": [0.9] * 16}
    (tmp_path / "list.csv").write_text(
        "path,pseudonym\n" + "".join(f"{path},P-{i}\n" for i, path in enumerate(sorted(inputs.iterdir())))
    )
    options = CohortOptions(
        inputs=[str(tmp_path / "list.csv")], output=tmp_path / "study", report=True,
        cluster=ClusterOptions(scheduler=cluster.scheduler_address), network=fake_worker.command(plan),
    )  # fmt: skip
    told = Told()
    summary = run_cohort(options, told)
    assert summary.done >= 3 and summary.failed >= 3, told.outcomes
    assert leaked(inputs), "the test finds names where they are"
    assert not leaked(tmp_path / "study")
    out, err = capfd.readouterr()
    said = out + err + caplog.text + repr(told.outcomes) + " ".join(told.notes)
    assert not [name for name in NAMES if name.lower() in said.lower()]
    assert all(outcome.name.startswith("P-") for outcome in told.outcomes)
    reasons = [outcome.reason for outcome in told.outcomes if not outcome.done]
    assert any("2 DICOM series" in reason and "folder of its own" in reason for reason in reasons), "still of use"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("DOE^JANE.nrrd does not exist. Check its name.", "[...] does not exist. Check its name."),
        ("It states the space 'Quirin' of 12 x 7 mm.", "It states the space '[...]' of 12 x 7 mm."),
        ("It holds 2 series (4711081500, 12345678).", "It holds 2 series ([...], [...])."),
        ("The System says: DOE.", "The [...] says: [...]."),
    ],
)
def test_only_our_own_words_and_short_numbers_are_kept(tmp_path, message, expected):
    assert without_names(message, tmp_path / "DOE^JANE.nrrd") == expected
    started = without_names(f"{tmp_path}/DOE^JANE.nrrd cannot be read.", tmp_path / "DOE^JANE.nrrd")
    assert started == "The file cannot be read."


def test_a_name_that_is_also_a_word_of_ours_is_left_out_where_it_is_written_as_a_name(tmp_path):
    source = tmp_path / "Choose_123.nrrd"
    assert {"Choose", "123"} <= private_words(source)
    assert without_names("Choose another. It holds 123 of 456.", source) == "[...] another. It holds [...] of 456."


def test_the_vocabulary_knows_no_authors():
    assert "Papageorghiou" not in vocabulary() and {"spacing", "folder", "device"} <= vocabulary()
