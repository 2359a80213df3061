"""From a file of volumes over time to files of the poses in all of them: what the command line does.

The network runs in this process: it reads one volume after another, and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.joint_angles import JOINTS, flexion_deg
from FetalPoseLib.body.measurements import length_table, write_csv
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.sequence import Sequence, open_sequence
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.scene.decoding import decode_dicom
from FetalPoseLib.scene.volumes import right_handed
from FetalPoseLib.tracking.activity import PARTS, Activity, activity_of
from FetalPoseLib.tracking.bones import usual_lengths
from FetalPoseLib.tracking.joining import Track, join
from FetalPoseLib.tracking.observation import Observation
from FetalPoseLib.volume.grid import Volume, mirror_matrix, transform_points
from FetalPoseLib.volume.probe_volume import ProbeVolume

OUTPUTS = (".seq.mrb", ".csv")
LEAST_FOUND = 0.5  # share of the volumes without the fetus from which a warning is due


@dataclass(frozen=True, kw_only=True)
class TrackFileOptions:
    """Where the poses go, and what a person knows about the sequence."""

    output: Path  #: of the poses, .seq.mrb for Slicer or .csv
    table: Path | None = None  #: a row per volume: joint angles, speeds, quantity of movement, rest; .csv
    events: Path | None = None  #: a row per movement, .csv
    picture: Path | None = None  #: curves over time, .png, .pdf or .svg
    movie: Path | None = None  #: the skeleton over the volumes, .gif, .webp, .png or .mp4
    fps: float | None = None  #: volumes a second; None: as the file states
    mirrored: bool = False  #: the file mirrors the volumes: left and right are exchanged


@dataclass(frozen=True)
class Stage:
    """How far it is: ``done`` of ``total`` volumes of "follow" or "movie"."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class TrackFileResult:
    """What was written."""

    track: Track
    activity: Activity | None  #: None where the times are not known
    lengths: list[dict]  #: a row per segment: the median over the sequence
    warnings: tuple[str, ...]


def track_file(
    source: Path,
    options: TrackFileOptions,
    estimate: EstimateOptions,
    *,
    progress: Callable[[Stage], object] = lambda stage: None,
    warn: Callable[[str], object] = lambda sentence: None,
) -> TrackFileResult:
    """Follow the fetus through a sequence and write its poses; returns when all is done.

    Parameters
    ----------
    source : see `reading.sequence.open_sequence`
    estimate : model, device and atlases; its refinement does not matter here
    progress : called after each volume; what it raises ends the work, and no file is changed
    warn : called with each sentence of doubt

    Raises
    ------
    FetalPoseError
        An output cannot be written; the sequence cannot be read; the times are needed and not known; or the fetus was
        found in no volume. No file is changed then.
    """
    _check_outputs(options)
    warnings: list[str] = []

    def tell(sentence: str) -> None:
        warnings.append(sentence)
        warn(sentence)

    with open_sequence(source, fps=options.fps, decode=decode_dicom) as sequence:
        for doubt in sequence.doubts:
            tell(doubt.sentence)
        if options.events is not None and sequence.times is None:
            raise FetalPoseError(
                f"{shown(source)} does not state when its volumes were taken, so there are no movements to list. Give "
                "the volumes a second with --fps."
            )
        if sequence.times is None:
            tell("The file does not state when its volumes were taken: there are no speeds. Give --fps if you know it.")
        mirror = _check_first(sequence, options.mirrored)
        observations, provenance = _follow(_Mirrored(sequence, mirror), estimate, progress)
        track = join(observations, sequence.times)
        _check_found(track, observations, source, tell)
        track = _in_file(track, mirror)
        activity = activity_of(track)
        _write(sequence, track, activity, options, provenance | _told(options, sequence, warnings), progress)
    return TrackFileResult(track, activity, length_table_of(track), tuple(warnings))


def length_table_of(track: Track) -> list[dict]:
    """The rows of `measurements.length_table` with the median lengths over a track."""
    rows = length_table(track.points[0])
    for row, length in zip(rows, usual_lengths(track.points), strict=True):
        row["length_mm"] = f"{length:.2f}" if np.isfinite(length) else ""
    return rows


def pose_rows(track: Track) -> list[dict]:
    """A row per volume and landmark."""
    skeleton, rows = load_skeleton(), []
    for frame in range(len(track)):
        for i, name in enumerate(skeleton.landmarks):
            known = np.isfinite(track.points[frame, i]).all()
            state = "bridged" if track.bridged[frame, i] else "read" if known else "not visible"
            rows.append(
                {"volume": frame + 1, "time_s": _time(track, frame), "landmark": name}
                | {key: _cell(x, 3) for key, x in zip(("r_mm", "a_mm", "s_mm"), track.points[frame, i], strict=True)}
                | {
                    "confidence": _cell(track.confidence[frame, i] if state == "read" else np.nan, 2),
                    "deviation_mm": _cell(track.deviation[frame, i], 2),
                    "state": state if track.found[frame] else "no fetus",
                }
            )
    return rows


def movement_rows(track: Track, activity: Activity | None) -> list[dict]:
    """A row per volume: whether the fetus was found, joint angles, and where times are known, speeds and rest."""
    angles, rows = flexion_deg(track.points), []
    for frame in range(len(track)):
        row = {"volume": frame + 1, "time_s": _time(track, frame), "found": "yes" if track.found[frame] else "no"}
        row |= {f"{joint}_deg": _cell(angle, 1) for joint, angle in zip(JOINTS, angles[frame], strict=True)}
        if activity is not None:
            row["quantity_mm_s"] = _cell(activity.quantity_mm_s[frame], 2)
            row["resting"] = "yes" if activity.resting[frame] else "no" if track.found[frame] else ""
            speeds = zip(PARTS, activity.speed_mm_s[frame], strict=True)
            row |= {f"{part}_mm_s": _cell(speed, 2) for part, speed in speeds}
        rows.append(row)
    return rows


def event_rows(activity: Activity) -> list[dict]:
    """A row per movement and per period of rest, in the order of their beginnings."""
    events = [
        {
            "kind": event.kind, "start_s": f"{event.start_s:.3f}", "stop_s": f"{event.stop_s:.3f}",
            "duration_s": f"{event.stop_s - event.start_s:.3f}", "parts": " ".join(event.parts),
            "peak_mm_s": f"{event.peak_mm_s:.1f}",
        }
        for event in activity.events
    ]  # fmt: skip
    rests = [
        {"kind": "rest", "start_s": f"{start:.3f}", "stop_s": f"{stop:.3f}", "duration_s": f"{stop - start:.3f}",
         "parts": "", "peak_mm_s": ""}
        for start, stop in activity.rests
    ]  # fmt: skip
    return sorted(events + rests, key=lambda row: float(row["start_s"]))


@dataclass(frozen=True, eq=False)
class _Mirrored:
    """The volumes of a sequence, put right where the file mirrors them."""

    sequence: Sequence
    mirror: np.ndarray

    @property
    def times(self) -> np.ndarray | None:
        return self.sequence.times

    def __len__(self) -> int:
        return len(self.sequence)

    def volume(self, frame: int) -> Volume | ProbeVolume:
        volume = self.sequence.volume(frame)
        if isinstance(volume, ProbeVolume):
            grid = replace(volume.grid, probe_to_ras=self.mirror @ volume.grid.probe_to_ras)
            return ProbeVolume(volume.array, grid)
        return Volume(volume.array, self.mirror @ volume.ijk_to_ras)


def _check_outputs(options: TrackFileOptions) -> None:
    from FetalPoseLib.evaluation.movie import SUFFIXES, check_movie  # which imports matplotlib and torch

    check_writable(options.output, *OUTPUTS)
    for path, suffixes in (
        (options.table, (".csv",)), (options.events, (".csv",)), (options.picture, (".png", ".pdf", ".svg")),
        (options.movie, SUFFIXES),
    ):  # fmt: skip
        if path is not None:
            check_writable(path, *suffixes)
    if options.movie is not None:
        check_movie(options.movie)


def _check_first(sequence: Sequence, mirrored: bool) -> np.ndarray:
    """Refuse a first volume that is none to estimate a pose in, as for a single one; the mirror (4, 4) of the world."""
    first = sequence.volume(0)
    if isinstance(first, ProbeVolume):
        return np.diag([-1.0, 1, 1, 1]) if mirrored else np.eye(4)
    scene = mrml.new_scene()
    shown_volume = mrml.volume_from_node(mrml.add_volume(scene, right_handed(first), sequence.name))
    return mirror_matrix(shown_volume) if mirrored else np.eye(4)


def _follow(frames: _Mirrored, estimate: EstimateOptions, progress) -> tuple[list[Observation], dict[str, str]]:
    from FetalPoseLib.estimator import Estimator  # which imports torch
    from FetalPoseLib.network.memory import keep_freed_memory

    keep_freed_memory()
    estimator = Estimator.from_options(estimate)
    found: list[Observation | None] = [None] * len(frames)
    for seen in estimator.follow(frames):
        if found[seen.frame] is None or seen.observation.found:
            found[seen.frame] = seen.observation
        progress(Stage("follow", seen.done, seen.total))
    return [one for one in found if one is not None], estimator.track_provenance


def _check_found(track: Track, observations: list[Observation], source: Path, tell: Callable[[str], None]) -> None:
    if not track.found.any():
        raise FetalPoseError(
            f"No fetus was found in any of the {len(track)} volumes of {shown(source)}; nothing was written. "
            f"{observations[0].reason}"
        )
    missing = int((~track.found).sum())
    if missing:
        tell(
            f"The fetus was not found in {missing} of {len(track)} volumes, which are gaps"
            + (". Look at the others closely." if missing > LEAST_FOUND * len(track) else ".")
        )
    if track.exchanged.any():
        tell(
            f"In {int(track.exchanged.sum())} volumes, limbs were first taken for those of the other side; the whole "
            "sequence decided. Check left and right in one volume."
        )


def _in_file(track: Track, mirror: np.ndarray) -> Track:
    velocity = None if track.velocity is None else track.velocity @ mirror[:3, :3].T
    return replace(track, points=transform_points(mirror, track.points), velocity=velocity)


def _told(options: TrackFileOptions, sequence: Sequence, warnings: list[str]) -> dict[str, str]:
    told = {"Unconfirmed": ", ".join(doubt.code for doubt in sequence.doubts)} if sequence.doubts else {}
    if options.mirrored:
        told["Mirrored"] = "yes"
    if warnings:
        told["Warnings"] = " ".join(warnings)
    return told


def _write(
    sequence: Sequence, track: Track, activity: Activity | None, options: TrackFileOptions, provenance, progress
) -> None:
    if options.output.name.lower().endswith(".csv"):
        _write_rows(options.output, pose_rows(track))
    else:
        scene = mrml.new_scene()  # which owns the node
        node = mrml.pose_sequence(
            scene, track.points, track.confidence, track.times, name=sequence.name or "Fetal poses",
            provenance=provenance,
        )  # fmt: skip
        mrml.save_sequence(node, options.output)
    if options.table is not None:
        _write_rows(options.table, movement_rows(track, activity))
    if options.events is not None and activity is not None:
        empty = {"kind": "", "start_s": "", "stop_s": "", "duration_s": "", "parts": "", "peak_mm_s": ""}
        rows = event_rows(activity)
        _write_rows(options.events, rows or [empty])
    if options.picture is not None:
        _draw(options.picture, track, activity, sequence.name)
    if options.movie is not None:
        from FetalPoseLib.evaluation.movie import draw_movie

        draw_movie(
            options.movie, sequence.volume, track.points, track.times, title=sequence.name,
            progress=lambda frame: progress(Stage("movie", frame + 1, len(track))),
        )  # fmt: skip


def _write_rows(path: Path, rows: list[dict]) -> None:
    with replacing(path) as temporary:
        write_csv(temporary, rows)


def _draw(path: Path, track: Track, activity: Activity | None, title: str) -> None:
    from FetalPoseLib.evaluation.movement_picture import draw_movement

    known = {} if activity is None else {
        "speeds": dict(zip(PARTS, activity.speed_mm_s.T, strict=True)), "quantity_mm_s": activity.quantity_mm_s,
        "rests": activity.rests, "events": [(event.kind, event.start_s, event.stop_s) for event in activity.events],
    }  # fmt: skip
    draw_movement(path, track.times, flexion_deg(track.points), title=title, **known)  # type: ignore[arg-type]


def _time(track: Track, frame: int) -> str:
    return "" if track.times is None else f"{track.times[frame]:.4f}"


def _cell(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""
