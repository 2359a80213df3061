"""Following a simulated fetus through volumes with the bundled networks, and from files to files."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from FetalPoseLib import scene as mrml
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.simulation.datasets import simulate
from FetalPoseLib.tracking.follower import Follower
from FetalPoseLib.tracking.joining import join
from FetalPoseLib.tracking.options import FollowOptions
from FetalPoseLib.volume.grid import Volume

STEP = np.array([1.5, -1.0, 0.5])  # mm that the fetus drifts from volume to volume
COUNT, LOST = 5, 2


@pytest.fixture(scope="module")
def estimator():
    return Estimator(device="cpu")


@pytest.fixture(scope="module")
def case():
    return simulate("validation", 3, spacing=1.25)


class Drifting:
    """The volume of a case, moved on each time; in one volume there is only noise."""

    def __init__(self, case):
        self.case, self.times = case, np.arange(COUNT) / 4
        noise = np.random.default_rng(0).integers(1, 40, case.volume.array.shape, dtype=np.uint8)
        self.noise = np.where(case.volume.array > 0, noise, 0).astype(np.uint8)

    def __len__(self):
        return COUNT

    def volume(self, frame):
        matrix = self.case.volume.ijk_to_ras.copy()
        matrix[:3, 3] += frame * STEP
        return Volume(self.noise if frame == LOST else self.case.volume.array, matrix)


@pytest.fixture(scope="module")
def seen(estimator, case):
    return list(estimator.follow(Drifting(case)))


def test_the_fetus_is_followed_and_a_volume_without_it_is_a_gap(seen, case):
    assert [one.frame for one in seen] == list(range(COUNT)) and seen[-1].done == seen[-1].total == COUNT
    assert [one.observation.found for one in seen] == [frame != LOST for frame in range(COUNT)]
    assert seen[LOST].observation.reason and seen[0].observation.how == "followed"
    track = join([one.observation for one in seen], np.arange(COUNT) / 4)
    assert np.isnan(track.points[LOST]).all()
    for frame in (0, 1, 3, 4):
        errors = np.linalg.norm(track.points[frame] - case.landmarks - frame * STEP, axis=1)
        assert np.nanmedian(errors) < 1.5
    drift = np.nanmedian(track.points[4] - track.points[0], axis=0)
    np.testing.assert_allclose(drift, 4 * STEP, atol=0.5)


def test_following_begins_in_the_volume_that_shows_the_fetus(estimator, case):
    frames = Drifting(case)
    order = [LOST, 0, 1]
    frames.volume = lambda frame: Drifting.volume(frames, order[frame])
    frames.__class__ = type("Three", (Drifting,), {"__len__": lambda self: 3})
    found = {one.frame: one.observation.found for one in estimator.follow(frames, FollowOptions(searches=2))}
    assert found == {0: False, 1: True, 2: True}


def test_a_pose_that_a_person_looked_at_is_where_following_begins(estimator, case, seen):
    asked = []
    frames = Drifting(case)
    frames.volume = lambda frame: asked.append(frame) or Drifting.volume(frames, frame)
    follower = Follower(estimator.detector, PoseReader(estimator.library))
    found = [one.frame for one in follower.run(frames, {3: seen[3].observation.points})]
    assert found == [3, 4, 2, 1, 0] and asked == found


def test_a_model_that_sees_the_whole_volume_cannot_follow(estimator):
    whole = replace(estimator.detector, networks={"whole": estimator.detector.main}, template=None)
    with pytest.raises(FetalPoseError, match="cannot follow"):
        Follower(whole, PoseReader(None))


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    """Numbered volumes on disk, the third without a fetus."""
    folder, frames = tmp_path_factory.mktemp("volumes"), Drifting(case)
    scene = mrml.new_scene()
    for frame in range(COUNT):
        mrml.write_volume(mrml.add_volume(scene, frames.volume(frame)), folder / f"volume{frame + 1}.nrrd")
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_from_a_folder_of_volumes_to_tables_curves_and_a_movie(folder, case, tmp_path, capfd):
    out = {name: tmp_path / name for name in ("poses.csv", "table.csv", "events.csv", "curves.png", "movie.gif")}
    status = main(
        ["estimate", str(folder), "--fps", "4", "--device", "cpu", "--output", str(out["poses.csv"])]
        + ["--table", str(out["table.csv"]), "--events", str(out["events.csv"])]
        + ["--picture", str(out["curves.png"]), "--movie", str(out["movie.gif"])]
    )
    text = capfd.readouterr()
    assert status == 0, text.err
    assert "found in 4 of 5 volumes" in text.out and "not found in 1 of 5 volumes" in text.err
    poses = rows_of(out["poses.csv"])
    assert len(poses) == COUNT * 16 and {row["state"] for row in poses[32:48]} == {"no fetus"}
    head = next(row for row in poses if row["landmark"] == "head" and row["volume"] == "4")
    place = np.array([float(head[key]) for key in ("r_mm", "a_mm", "s_mm")])
    assert np.linalg.norm(place - case.landmarks[0] - 3 * STEP) < 2 and head["time_s"] == "0.7500"
    table = rows_of(out["table.csv"])
    assert [row["found"] for row in table] == ["yes", "yes", "no", "yes", "yes"]
    assert table[2]["left_knee_deg"] == "" and 0 <= float(table[1]["left_knee_deg"]) <= 180
    assert float(table[1]["trunk_mm_s"]) == pytest.approx(4 * np.linalg.norm(STEP), rel=0.3)
    assert list(rows_of(out["events.csv"])[0]) == ["kind", "start_s", "stop_s", "duration_s", "parts", "peak_mm_s"]
    with Picture.open(out["movie.gif"]) as movie:
        assert movie.n_frames == COUNT
    with Picture.open(out["curves.png"]) as curves:
        assert min(curves.size) > 300


def test_without_times_no_events_and_nothing_is_written(folder, tmp_path, capfd):
    arguments = ["estimate", str(folder), "--output", str(tmp_path / "p.csv"), "--events", str(tmp_path / "e.csv")]
    assert main(arguments) == 1
    assert "Give the volumes a second with --fps" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--output", "p.seq.mrb", "--frame", "2"], "--frame is for one volume"),
        (["--output", "p.csv", "--force"], "--force is for one volume"),
        (["--output", "p.csv", "--measures", "m.csv", "--report", "r.html"], "--measures, --report is for one volume"),
        (["--output", "p.mrk.json", "--fps", "4", "--movie", "m.gif"], "--fps, --movie is for a sequence"),
        (["--output", "p.seq.mrb", "--movie", "m.avi"], "must end in .gif"),
        (["--output", "none/p.seq.mrb"], "does not exist"),
    ],
)
def test_what_does_not_go_together_is_named(folder, arguments, reason, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["estimate", str(folder), *arguments]) == 1
    assert reason in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_rate_that_is_none_is_refused(folder, capfd):
    with pytest.raises(SystemExit):
        main(["estimate", str(folder), "--output", "p.csv", "--fps", "0"])
    assert "give a number per second" in capfd.readouterr().err


def test_one_volume_is_sent_to_the_other_output(folder, tmp_path, capfd):
    assert main(["estimate", str(folder / "volume1.nrrd"), "--output", str(tmp_path / "p.seq.mrb")]) == 1
    assert "holds one volume, not a sequence" in capfd.readouterr().err


def test_ctrl_c_leaves_what_was_there(folder, tmp_path, monkeypatch, capfd):
    (tmp_path / "p.csv").write_text("before")

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Follower, "see", stopped)
    assert main(["estimate", str(folder), "--output", str(tmp_path / "p.csv")]) == 130
    assert (tmp_path / "p.csv").read_text() == "before"
    assert "Stopped" in capfd.readouterr().err
