"""The benchmark: known tables from made-up records."""

import numpy as np
import pytest
from benchmark_records import HEADER, body, record

from FetalPoseLib.benchmark import paper, report, tables

# --- tables


@pytest.mark.parametrize("columns", [paper.ERROR_MM, paper.AUC], ids=["Table 1", "Table 2"])
def test_the_papers_means_are_the_means_of_its_landmarks(columns):
    assert list(columns) == list(paper.METHODS)
    for method, numbers in columns.items():
        assert len(numbers) == 17
        assert np.mean(numbers[:16]) == pytest.approx(numbers[16], abs=0.06 if numbers is paper.AUC[method] else 0.02)


def test_tables_of_records_whose_errors_are_known():
    run = tables.Run(HEADER, [record("a", body(1), 4, 2, 1.05), record("b", body(2), 2, 2, 3.05, unseen=[5])])
    np.testing.assert_allclose(run.errors("unrefined")[0], 4, atol=1e-6)
    assert np.isnan(run.errors("refined")[1, 5]) and np.isnan(run.errors("refined")).sum() == 1
    unrefined, refined = tables.summary_table([run])
    assert unrefined["mean_mm"] == pytest.approx((16 * 4 + 15 * 2) / 31)
    assert refined["mean_mm"] == pytest.approx((16 * 1.05 + 15 * 3.05) / 31)
    assert refined["auc"] == pytest.approx((16 * 89.5 + 15 * 69.5) / 31)  # exact for errors midway between thresholds
    assert refined["missed"] == 0 and refined["wrong_side_limbs_percent"] == 0
    assert refined["length_error_mm"] == pytest.approx(0, abs=0.02)  # a shift changes no length
    columns = {f"made-up {stage}": (run.poses(stage), run.truth) for stage in tables.STAGES}
    errors = tables.landmark_table(columns, "mean_mm")
    assert errors[5] == {
        "landmark": "L6 left_wrist",
        **{f"paper {method}": paper.ERROR_MM[method][5] for method in paper.METHODS},
        "made-up unrefined": pytest.approx(4),
        "made-up refined": pytest.approx(1.05),
    }
    assert [row["mean_mm"] for row in tables.iteration_table([run])] == pytest.approx([94 / 31, 2, 62.55 / 31])
    assert len(tables.length_table([run])) == 16


def test_volumes_that_count_as_found_are_told_from_those_that_do_not():
    doubtful = {"confidence": [0.45] * 16}
    rows = [
        record("right", body(1), 2, 1, unseen=[5]),  # a place for a landmark outside
        record("turned", body(2), 9, 9),
        record("not believed", body(3), 3, 3) | doubtful,
        record("rightly not believed", body(4), 20, 20) | doubtful,
        record("failed", body(5), failure="No fetus found"),
    ]
    (found,) = tables.found_table([tables.Run(HEADER, rows)])
    assert (found["volumes"], found["found"], found["not_found"]) == (5, 2, 3)
    assert found["mean_mm"] == pytest.approx(5, abs=0.01) and (found["turned"], found["near"]) == (1, 1)
    assert (found["outside"], found["invented"]) == (1, 1)
    assert (found["inside"], found["missed"]) == (31, 0)  # of the two that count as found
    one_pass = [row | {"seconds": {"locate": None}} for row in rows]  # has another limit
    assert tables.found_table([tables.Run(HEADER, one_pass)])[0]["found"] == 4


def test_a_failure_is_sixteen_misses_and_not_left_out():
    run = tables.Run(HEADER, [record("a", body(1), 2), record("b", body(2), failure="No fetus found")])
    _, refined = tables.summary_table([run])
    assert (refined["volumes"], refined["failed"], refined["missed"]) == (2, 1, 16)
    assert refined["mean_mm"] == pytest.approx(2) and refined["auc"] == pytest.approx(80.5 / 2)
    (difference,) = tables.difference_table([run])
    assert difference["subjects"] == 1 and difference["auc_change"] == 0


def test_errors_of_pass_1_tell_the_first_reading_from_the_best():
    first, best = tables.frame_table([tables.Run(HEADER, [record("a", body(1), 2)])])
    assert (first["degrees_median"], first["over_60_degrees"]) == (70, 1)
    assert (best["degrees_median"], best["shift_body_units_median"], best["over_60_degrees"]) == (10, 0.2, 0)


def test_the_difference_is_paired_by_subject():
    before, after = np.full((3, 16), 4.0), np.full((3, 16), 4.0)
    after[0] -= 3
    after[1] += 2
    before[2, 0] = np.inf  # found by refinement: no millimetres to compare, but AUC
    before[2, 1] = after[2, 1] = np.nan
    found = tables.paired(before, after)
    assert (found["subjects"], found["worse_by_1_mm"]) == (3, 1)
    assert found["error_mm_change"] == pytest.approx(-1 / 3) and found["worst_mm"] == pytest.approx(2)
    assert found["auc_change"] == pytest.approx((30 - 20 + 60.5 / 15) / 3)
    assert found["error_mm_low"] < found["error_mm_change"] < found["error_mm_high"]


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = tables.bootstrap(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert tables.bootstrap(values) == (low, high)
    samples = np.random.default_rng(1).normal(size=(200, 52))
    covered = [low < 0 < high for low, high in (tables.bootstrap(sample, resamples=500) for sample in samples)]
    assert 0.90 <= np.mean(covered) <= 0.985


def test_small_numbers_are_not_rounded_away(tmp_path):
    rows = [{"lr": 2.5e-4, "error": 1.23456789, "found": None, "k": 10}]
    assert report.markdown(rows).splitlines()[-1] == "| 0.00025 | 1.23 | - | 10 |"
    report.Folder(tmp_path, [HEADER]).csv("table.csv", rows)
    head, *table = (tmp_path / "table.csv").read_text().splitlines()
    assert head.startswith("# Written by 'fetalpose benchmark accuracy --split test', FetalPose ")
    assert "model made-up" in head
    assert table == ["lr,error,found,k", "0.00025,1.23457,,10"]
