"""The report of a pose: one page with everything, nothing of a file's text as HTML, no file without a pose."""

import re

import numpy as np
import pytest

from FetalPoseLib.body.clinical import clinical_measures, measure_table
from FetalPoseLib.body.measurements import length_table
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.evaluation.pose_report import RESEARCH, Report, write_report
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.volume.grid import Volume


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(12)
    return pose_body(rng, draw_biometry(rng)).landmarks


@pytest.fixture(scope="module")
def volume(points):
    array = np.random.default_rng(0).integers(1, 255, (50, 50, 50)).astype(np.uint8)
    matrix = np.diag([1.5, 1.5, 1.5, 1.0])
    matrix[:3, 3] = points.mean(axis=0) - 37
    return Volume(array, matrix)


def report(points, **options):
    lengths, measures = length_table(points), measure_table(clinical_measures(points))
    return Report(options.pop("title", "case.nrrd"), points, lengths, measures, **options)


def test_the_page_holds_pictures_tables_origin_and_what_a_person_placed(points, volume, tmp_path):
    told = report(points, provenance={"FetalPose.Model": "fetal-frame"}, placed=("left_knee",), warnings=("Look.",))
    write_report(tmp_path / "report.html", volume, told)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert RESEARCH in page and page.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing outside the file
    for row in (*told.lengths, *told.measures):
        assert (row.get("segment") or row["measure"]).replace("_", " ") in page
    assert f"{told.lengths[0]['length_mm']} mm" in page and "fetal-frame" in page
    assert "Placed by a person: left knee." in page and "Look." in page


def test_text_of_a_file_is_no_markup(points, volume, tmp_path):
    evil = "<script>alert(1)</script>\x1b"
    told = report(points, title=evil, provenance={"FetalPose.Model": evil}, warnings=(evil,))
    write_report(tmp_path / "report.html", volume, told)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "\x1b" not in page


def test_a_pdf_has_one_page(points, volume, tmp_path):
    write_report(tmp_path / "report.pdf", volume, report(points))
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", data)) == 1


def test_planes_without_landmarks_are_named(points, volume, tmp_path):
    some = points.copy()
    some[0] = np.nan
    write_report(tmp_path / "report.html", volume, report(some))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No mid sagittal plane; not visible: head" in page


def test_what_cannot_be_reported_leaves_the_former_file(points, volume, tmp_path):
    (tmp_path / "report.html").write_text("former")
    with pytest.raises(FetalPoseError, match="no landmark to report"):
        write_report(tmp_path / "report.html", volume, report(np.full((16, 3), np.nan)))
    with pytest.raises(FetalPoseError, match="must end in .html or .pdf"):
        write_report(tmp_path / "report.docx", volume, report(points))
    assert (tmp_path / "report.html").read_text() == "former"
