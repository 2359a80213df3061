"""What is written of a study: tables, overview, thumbnails; and the command."""

import csv
import sys

import numpy as np
import pytest
from cli_runs import fetalpose
from PIL import Image
from scene_poses import POINTS
from volume_files import volume

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import cohort as command
from FetalPoseLib.cohort import cluster
from FetalPoseLib.cohort.measured import measure_columns
from FetalPoseLib.cohort.options import ClusterOptions
from FetalPoseLib.cohort.overview import PER_PAGE, write_overview
from FetalPoseLib.cohort.tables import rows_of, write_tables
from FetalPoseLib.cohort.thumbnail import PIXELS, draw_thumbnail

SKELETON = load_skeleton()


def record(name="P-1", confidence=0.9, warnings=(), **changes) -> dict:
    points = [[float(i), 2.0 * i, 0.5 * i * i] for i in range(16)]
    points[5] = None
    told = {"pseudonym": "P", "date": "2026-03-31", "age_days": 87, "frame": None, "mirrored": True}
    made = {"Model": "fetal-frame", "Refinement": "consensus", "Version": "0.1.0"}
    values = {"name": name, "volume": told, "points": points, "confidence": [confidence] * 16, "provenance": made}
    values["measures"] = {"crown_rump_length_mm": 61.5}
    return values | {"warnings": list(warnings), "radius_mm": [1.0] * 15 + [None]} | changes


def failure(name="P-9", reason="It is empty.") -> dict:
    return {"name": name, "volume": {"pseudonym": "P"}, "kind": "refused", "reason": reason, "seconds": 1.5}


def test_the_table_has_all_that_was_measured(tmp_path):
    from pyarrow import parquet

    write_tables(tmp_path, rows_of([record(), record("P-2", warnings=["Look, at it.", "And here."]), failure()]))
    table = parquet.read_table(tmp_path / "volumes.parquet").to_pylist()
    with open(tmp_path / "volumes.csv") as file:
        text = list(csv.DictReader(file))
    first, second = table
    assert [row["name"] for row in text] == ["P-1", "P-2"] and list(text[0]) == list(first)
    assert first["age_by_dates"] == "12w3d" and first["mirrored"] is True and first["frame"] is None
    assert (second["warning_count"], second["warnings"]) == (2, "Look, at it. And here.")
    assert first["visible_landmarks"] == 15 and first["mean_confidence"] == pytest.approx(0.9)
    for i, segment in enumerate(SKELETON.segments):
        start, end = (np.array(record()["points"][at] or [np.nan] * 3) for at in (segment.start, segment.end))
        length = np.linalg.norm(end - start)
        if np.isfinite(length):
            assert first[f"{segment.name}_mm"] == pytest.approx(length, abs=1e-3), i
        else:
            assert first[f"{segment.name}_mm"] is None and text[0][f"{segment.name}_mm"] == ""
    assert first[f"{SKELETON.landmarks[5]}_x_mm"] is None and first[f"{SKELETON.landmarks[7]}_z_mm"] == 24.5
    assert first["head_radius_mm"] == 1.0 and set(measure_columns()) <= set(first)
    assert first["crown_rump_length_mm"] == 61.5 and first["gestational_age_days"] is None
    (failed,) = parquet.read_table(tmp_path / "failures.parquet").to_pylist()
    assert (failed["name"], failed["kind"], failed["reason"]) == ("P-9", "refused", "It is empty.")


def test_a_study_without_results_has_tables_with_columns(tmp_path):
    from pyarrow import parquet

    write_tables(tmp_path, rows_of([]))
    full = tmp_path / "full"
    full.mkdir()
    write_tables(full, rows_of([record(), failure()]))
    for name in ("volumes", "failures"):
        empty, whole = (parquet.read_schema(folder / f"{name}.parquet") for folder in (tmp_path, full))
        assert empty == whole
        assert (tmp_path / f"{name}.csv").read_text() == (full / f"{name}.csv").read_text().splitlines()[0] + "\n"


def test_the_overview_shows_the_most_doubtful_first_and_escapes_all(tmp_path):
    records = [record("sure", 0.9), record("unsure", 0.6), record("warned", 0.8, ["<script>alert(1)</script> & so"])]
    page = write_overview(tmp_path, rows_of([*records, failure(reason="<b>'bad\"")])).read_text()
    assert page.index("<b>warned") < page.index("<b>unsure") < page.index("<b>sure")
    assert "<script" not in page and "&lt;script&gt;" in page and "&lt;b&gt;&#x27;bad&quot;" in page
    assert "http" not in page.replace("http-equiv", ""), "nothing comes from the network"
    assert 'href="poses/warned.mrk.json"' in page and 'src="thumbnails/warned.jpg"' in page
    assert page.count("<svg") == 1 + len(record()["measures"]) + sum(
        None not in (record()["points"][s.start], record()["points"][s.end]) for s in SKELETON.segments
    )


def test_a_long_overview_has_pages_and_a_shorter_one_leaves_none_behind(tmp_path):
    many = rows_of([record(f"P-{i}") for i in range(PER_PAGE + 1)])
    write_overview(tmp_path, many)
    assert (tmp_path / "overview-2.html").read_text().count('class="card"') == 1
    write_overview(tmp_path, rows_of([record()]))
    assert [path.name for path in tmp_path.iterdir()] == ["overview.html"]


def test_a_thumbnail_shows_two_views_with_the_skeleton(tmp_path):
    draw_thumbnail(tmp_path / "t.jpg", volume(), POINTS - POINTS.mean(axis=0) + [20, 18, 16])
    with Image.open(tmp_path / "t.jpg") as picture:
        assert picture.size == (2 * PIXELS[0], PIXELS[1])
        colours = np.asarray(picture).astype(int)
    coloured = np.ptp(colours, axis=2) > 60
    assert coloured[:, : PIXELS[0]].any() and coloured[:, PIXELS[0] :].any(), "segments over a grey picture"
    partly = POINTS.copy()
    partly[2:] = np.nan
    draw_thumbnail(tmp_path / "t.jpg", volume(), partly)


def test_without_the_extra_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None if name == "distributed" else object())
    (tmp_path / "a.nrrd").write_bytes(b"x")
    assert fetalpose("cohort", tmp_path, "--output", tmp_path / "study") == 1
    error = capsys.readouterr().err
    assert "distributed" in error and "pip install 'FetalPose[cohort]'" in error and error.count("\n") == 1


def test_the_command_s_options_are_those_of_the_cluster(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "shown", lambda run, options: asked.append(options) or sys.exit(0))
    given = ["--scheduler", "tcp://h:1", "--workers", 3, "--threads", 2, "--time-limit", 60, "--memory-gb", 1.5]
    assert fetalpose("cohort", "a", "b", "--output", tmp_path, "--report", "--retry-failed", *given) == 0
    (options,) = asked
    assert options.inputs == ["a", "b"] and options.report and options.retry
    expected = ClusterOptions(scheduler="tcp://h:1", workers=3, threads=2, time_limit_s=60.0, memory_gb=1.5)
    assert options.cluster == expected
    assert fetalpose("cohort", "a", "--output", tmp_path, "--time-limit", 0) == 2


def test_the_shares_of_a_local_cluster_bound_its_memory(monkeypatch):
    monkeypatch.setattr(cluster, "_cores", lambda: 16)
    monkeypatch.setattr(cluster, "_memory_gb", lambda: 10.0)
    assert cluster.local_shares(ClusterOptions()) == (4, 2.0)
    assert cluster.limits_of(ClusterOptions()).threads == 4
    assert cluster.limits_of(ClusterOptions(workers=2)).memory_bytes == 4_000_000_000
    elsewhere = cluster.limits_of(ClusterOptions(scheduler="tcp://h:1"))
    assert (elsewhere.threads, elsewhere.memory_bytes) == (1, None)


def test_many_simulations_are_refused_before_anything_starts(tmp_path, capsys):
    for given, message in [
        (("--count", 2, "--landmarks", tmp_path / "a.mrk.json"), "Leave out --landmarks"),
        (("--count", 60, "--split", "test"), "has 52 subjects"),
        (("--count", 2, "--split", "best"), "There is no split 'best'"),
        (("--count", 2, "--subject", 1), "--subject the first of a --split"),
        (("--count", 2, "--spacing", 9), "spacing of 9 mm"),
        ((), "--landmarks, where the truth goes, or --count"),
    ]:
        assert fetalpose("simulate", "--output", tmp_path / "many", *given) == 1
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_documented_slurm_cluster_makes_the_documented_script(tmp_path, monkeypatch):
    """The script that dask-jobqueue gives to sbatch; there is no SLURM here."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    with jobqueue.SLURMCluster(
        cores=4, processes=4, memory="12GB", walltime="04:00:00", queue="cpu", worker_extra_args=["--lifetime", "230m"],
        scheduler_options={"dashboard_address": None},
    ) as cluster:  # fmt: skip
        script = cluster.job_script()
    assert "#SBATCH -p cpu" in script and "#SBATCH --cpus-per-task=4" in script and "#SBATCH -t 04:00:00" in script
    assert "--nworkers 4" in script and "--nthreads 1" in script and "--lifetime 230m" in script
