"""A study from its inputs to its tables, and a folder of simulated volumes: the two things that a person asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from FetalPoseLib import __version__
from FetalPoseLib.cohort.cluster import check_packages, limits_of, opened
from FetalPoseLib.cohort.content import stamp_of
from FetalPoseLib.cohort.inputs import Input, list_inputs
from FetalPoseLib.cohort.jobs import EstimateJob, Job, Outcome, SimulateJob
from FetalPoseLib.cohort.key_file import KeyFile
from FetalPoseLib.cohort.options import ClusterOptions, CohortOptions, SimulatedOptions
from FetalPoseLib.cohort.overview import write_overview
from FetalPoseLib.cohort.simulate_job import is_there
from FetalPoseLib.cohort.study import Study, made_with, note_how_it_is_made
from FetalPoseLib.cohort.tables import rows_of, write_tables
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked, remove_unfinished
from FetalPoseLib.refinement.options import EstimateOptions

SAVE_S = 30.0  # between two savings of the key


class Listener:
    """What a front end wants to know while a study runs. By itself it does nothing."""

    def started(self, todo: int, known: int, dashboard: str) -> None:
        """The scheduler has answered: so many volumes are to do, so many were done before."""

    def ended(self, outcome: Outcome) -> None:
        """A volume is done, or has failed."""

    def note(self, sentence: str) -> None:
        """Something is waited for, or should be known."""


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    done: int  #: volumes that this run has done
    skipped: int  #: that were done before
    failed: int  #: that have no result
    overview: Path | None = None  #: the first page, if it was asked for


def run_cohort(options: CohortOptions, listener: Listener | None = None) -> Summary:
    """Estimate the pose in each volume, and write the tables; what is done already is not done again.

    Parameters
    ----------
    options : inputs, output and the rest
    listener : told of the progress

    Raises
    ------
    FetalPoseError
        An input cannot be listed, the study was made with other options or is in use, the cluster does not answer, or
        the disk stays full. KeyboardInterrupt ends the run as well; the tables then hold what is done.
    """
    listener = listener or Listener()
    check_packages()
    inputs, study = list_inputs(options.inputs), Study(Path(options.output).absolute())
    estimate = _absolute(options.estimate)
    with _one_at_a_time(study.folder):
        key = study.prepare(made_with(estimate))
        keys = KeyFile(study.folder)
        jobs = {
            keys.number_of(one): (one, _job(one, keys.number_of(one), study, key, options, estimate)) for one in inputs
        }
        settled = {number: _settled(one, job, study, keys) for number, (one, job) in jobs.items()}
        todo = [job for number, (_, job) in jobs.items() if settled[number] is None]
        skipped, failed = (
            sum(not kind for kind in settled.values() if kind is not None),
            sum(map(bool, settled.values())),
        )
        done = 0
        try:
            stamps = {job.number: stamp_of(jobs[job.number][0].path) for job in todo}
            saved = time.monotonic()
            for outcome in _outcomes(todo, study.folder, options.cluster, listener, len(jobs) - len(todo)):
                one, job = jobs[outcome.number]
                former = keys.learn(one, outcome, stamps[outcome.number])
                if former:
                    listener.note(f"Input {job.number} holds another volume than before; {former} stays in the study.")
                _note(study, job, outcome)
                done += outcome.done and not outcome.skipped
                skipped += outcome.done and outcome.skipped
                failed += not outcome.done
                listener.ended(outcome)
                if time.monotonic() - saved > SAVE_S:
                    keys.save()
                    saved = time.monotonic()
            doubles = _doubles(keys, inputs)
            if doubles:
                listener.note(f"{doubles} inputs hold the same volume as others; it is in the tables once.")
        except BaseException:  # Ctrl-C, a lost cluster: the tables hold what is done, if there is room for them
            with suppress(FetalPoseError):
                _write(study, key, keys, options)
            raise
        overview = _write(study, key, keys, options)
    return Summary(done, skipped, failed, overview)


def run_simulations(options: SimulatedOptions, listener: Listener | None = None) -> Summary:
    """Simulate volumes into a folder, each beside its landmarks; those that are there stay.

    Raises
    ------
    FetalPoseError
        There are not so many subjects, the folder's volumes were made otherwise or it is in use, the cluster does not
        answer, or the disk stays full.
    """
    listener = listener or Listener()
    check_packages()
    folder = Path(options.output).absolute()
    _check_split(options)
    with _one_at_a_time(folder):
        remove_unfinished(folder)
        note_how_it_is_made(
            folder, {"version": __version__, "split": options.split or "fresh", "spacing_mm": options.spacing}
        )
        numbers = range(options.first, options.first + options.count)
        jobs = [SimulateJob(number, str(folder), options.spacing, options.split) for number in numbers]
        todo = [job for job in jobs if not is_there(job)]
        outcomes = []
        for outcome in _outcomes(todo, folder, options.cluster, listener, len(jobs) - len(todo)):
            outcomes.append(outcome)
            listener.ended(outcome)
            if not outcome.done:
                listener.note(f"{outcome.name or outcome.number}: {outcome.reason}")
    done = sum(outcome.done for outcome in outcomes)
    return Summary(done, len(jobs) - len(todo), len(todo) - done)


def _outcomes(
    todo: Sequence[Job], folder: Path, cluster: ClusterOptions, listener: Listener, known: int
) -> Iterator[Outcome]:
    if not todo:
        listener.started(0, known, "")
        return
    from FetalPoseLib.cohort.dispatch import Dispatcher

    with opened(cluster) as address:
        dispatcher = Dispatcher(address, cluster, limits_of(cluster), folder, listener.note)
        with closing(dispatcher.run(todo, lambda link: listener.started(len(todo), known, link))) as outcomes:
            yield from outcomes


def _job(
    one: Input, number: int, study: Study, key: str, options: CohortOptions, estimate: EstimateOptions
) -> EstimateJob:
    return EstimateJob(
        number, str(study.folder), key, str(one.path), estimate, label=one.label, date=one.date, age_days=one.age_days,
        frame=one.frame, mirrored=one.mirrored, retry=options.retry, network=tuple(options.network),
    )  # fmt: skip


def _settled(one: Input, job: EstimateJob, study: Study, keys: KeyFile) -> str | None:
    """The kind of failure ("" if there is a pose) of a volume with which nothing is left to do; None for others."""
    content = keys.content_of(one)
    record = study.is_settled(job, study.name_of(job, content)) if content else None
    return None if record is None else str(record.get("kind", ""))


def _write(study: Study, key: str, keys: KeyFile, options: CohortOptions) -> Path | None:
    """Write the key, the tables, and the overview if it is asked for; its first page."""
    keys.save()
    tables = rows_of(study.records(key))
    write_tables(study.folder, tables)
    return write_overview(study.folder, tables) if options.report else None


def _doubles(keys: KeyFile, inputs: Sequence[Input]) -> int:
    names = [name for name in map(keys.name_of, inputs) if name]
    return len(names) - len(set(names))


def _note(study: Study, job: EstimateJob, outcome: Outcome) -> None:
    """Bring the records in line with an outcome. A failure that cannot be recorded is only tried again."""
    try:
        if outcome.content:
            study.forget_unread(job)
        if not outcome.done and not outcome.skipped:
            study.note_failure(job, outcome)
    except FetalPoseError:
        pass


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another place.") from error
    with locked(folder, wait_s=2.0, advice="Wait until it has ended, or choose another folder."):
        yield


def _absolute(options: EstimateOptions) -> EstimateOptions:
    """The options with paths that a worker finds from its own folder."""
    model = str(Path(options.model).absolute()) if Path(options.model).is_file() else options.model
    return replace(options, model=model, libraries=tuple(str(Path(path).absolute()) for path in options.libraries))


def _check_split(options: SimulatedOptions) -> None:
    from FetalPoseLib.simulation.files import SPACINGS_MM
    from FetalPoseLib.simulation.splits import SPLITS

    low, high = SPACINGS_MM
    if not low <= options.spacing <= high:
        raise FetalPoseError(f"A spacing of {options.spacing:g} mm cannot be simulated. Choose {low:g} to {high:g} mm.")
    if options.split is None:
        return
    if options.split not in SPLITS:
        raise FetalPoseError(f"There is no split '{options.split[:40]}'. Choose one of {', '.join(SPLITS)}.")
    count = SPLITS[options.split].count
    if count is not None and options.first + options.count > count:
        raise FetalPoseError(f"The split {options.split} has {count} subjects. Choose fewer, or a smaller first.")
