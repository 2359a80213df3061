"""The measurements behind the tables and figures of the README, each from the same options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.simulation import DEFAULT_SPACING_MM

WHAT = (
    "pictures", "uncertainty", "planes", "methods", "accuracy", "sequences", "refinement", "memory", "speed",
    "simulator", "cohort", "adapting",
)  # fmt: skip
APART = ("adapting",)  # takes an hour or more, and is no part of "all"
SPLITS = ("validation", "test", "shifted", "validation2", "test2", "shifted2")
ENDLESS_SPLITS = ("fresh", "left-out2", "scanner2")  # as many subjects as are asked for
ENDLESS_SUBJECTS = 60  # if no number is asked for


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What is measured on which volumes, and where the results go."""

    output: Path = Path("benchmarks")  #: folder of the results
    estimate: EstimateOptions = EstimateOptions()  #: model, device, refinement and iterations that are measured
    split: Sequence[str] = ("validation",)  #: of `SPLITS` or `ENDLESS_SPLITS`; accuracy: measured; uncertainty: fitted
    subjects: int | None = None  #: only so many of each split; None: all, or 60 of a split without end
    first: int = 0  #: index of the first subject of each split: the bundled model learnt from the first 421 of *fresh*
    spacing: float = DEFAULT_SPACING_MM  #: of the volumes, mm
    fresh: bool = False  #: measure again what was measured before
    records: Sequence[Path] = ()  #: uncertainty: further folders with records of accuracy, beside `output`
    weights: Path = Path("runs")  #: methods: folder of the rivals' weights
    vary: Sequence[str] | None = None  #: refinement: NAME=A,B, an option and its values; None: `choices.AXES`
    full: bool = False  #: refinement: every combination, not one change at a time
    width: int = 16  #: memory: channels of the first level
    volumes: Sequence[int] = (4, 8, 16)  #: adapting: to so many, each a model of its own
    steps: int | None = None  #: adapting: of each network; None: the training's own
    threads: int | None = None  #: of the CPU; None: PyTorch's choice


def run(what: str, options: BenchmarkOptions) -> None:
    """Measure one of `WHAT`, or "all", and write the results into ``options.output``.

    Raises
    ------
    FetalPoseError
        There is no such measurement, the spacing cannot be simulated, or what one of the measurements raises.
    """
    if what not in (*WHAT, "all"):
        raise FetalPoseError(f"There is no measurement '{what}'. Choose one of {', '.join(WHAT)}, or all.")
    if not 0.3 <= options.spacing <= 5:
        raise FetalPoseError(f"A spacing of {options.spacing:g} mm cannot be simulated. Choose 0.3 to 5 mm.")
    import torch

    from FetalPoseLib.benchmark.report import make_folder

    make_folder(options.output)
    if options.threads:
        torch.set_num_threads(options.threads)
    parts = {"accuracy": _accuracy, "refinement": _refinement, "memory": _memory, "speed": _speed}
    parts |= {"simulator": _simulator, "pictures": _pictures, "methods": _methods}
    parts |= {"uncertainty": _uncertainty, "planes": _planes, "cohort": _cohort, "adapting": _adapting}
    parts |= {"sequences": _sequences}
    all_parts = [part for part in reversed(WHAT) if part not in APART]  # the short ones first
    for part in all_parts if what == "all" else (what,):
        parts[part](options)
    print(f"wrote the results into {options.output}")


def _accuracy(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.accuracy import measure
    from FetalPoseLib.benchmark.report import markdown
    from FetalPoseLib.benchmark.tables import difference_table, summary_table, write_tables

    estimator, chosen = _estimator(options), options.estimate
    for split in options.split:
        measure(
            estimator, split, _subjects(options, split), options.output, model=chosen.model,
            refinement=chosen.refinement, spacing=options.spacing, iterations=chosen.iterations, fresh=options.fresh,
        )  # fmt: skip
    runs = write_tables(options.output)
    print(markdown(summary_table(runs)), markdown(difference_table(runs)), sep="\n\n")


def _uncertainty(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark import uncertainty
    from FetalPoseLib.benchmark.report import markdown

    table = uncertainty.measure(
        options.output, options.split, model=options.estimate.model, refinement=options.estimate.refinement,
        records=options.records,
    )  # fmt: skip
    print(markdown([row for row in table if row["group"] == "all"]))


def _adapting(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.adapting import AdaptingOptions, measure_adapting
    from FetalPoseLib.benchmark.report import markdown

    def make(**changes):
        return _estimator(replace(options, estimate=replace(options.estimate, **changes)))

    chosen = AdaptingOptions(
        volumes=options.volumes, subjects=options.subjects or AdaptingOptions.subjects, steps=options.steps,
        spacing=options.spacing, fresh=options.fresh,
    )  # fmt: skip
    print(markdown(measure_adapting(make, chosen, options.output, estimate=options.estimate)))


def _planes(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.plane_tables import write_tables
    from FetalPoseLib.benchmark.planes import measure
    from FetalPoseLib.benchmark.report import markdown

    for split in options.split:
        measure(
            options.output, split, _subjects(options, split), model=options.estimate.model,
            refinement=options.estimate.refinement, spacing=options.spacing, fresh=options.fresh,
        )  # fmt: skip
    print(*(markdown(rows) for rows in write_tables(options.output).values()), sep="\n\n")


def _methods(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.methods import measure_all, write_methods
    from FetalPoseLib.benchmark.report import markdown

    def make(**changes):
        return _estimator(replace(options, estimate=replace(options.estimate, **changes)))

    measure_all(make, options.weights, options.output, spacing=options.spacing, fresh=options.fresh)
    print(markdown(write_methods(options.output)))


def _sequences(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark import sequences
    from FetalPoseLib.benchmark.report import markdown
    from FetalPoseLib.estimator import Estimator
    from FetalPoseLib.simulation.sequences import SETS

    count = SETS["sequences"] or 0
    indices = range(min(options.first, count - 1), min(options.first + (options.subjects or count), count))
    estimator = Estimator.from_options(options.estimate)
    table = sequences.measure(
        estimator, "sequences", indices, options.output, model=options.estimate.model, fresh=options.fresh
    )
    print(markdown(table))


def _refinement(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.choices import AXES, choose, combinations, parse_axes
    from FetalPoseLib.benchmark.report import markdown

    axes, estimator = parse_axes(options.vary) if options.vary else AXES, _estimator(options)
    choices = combinations(axes, full=options.full)
    table = choose(
        estimator, choices, _subjects(options, "validation"), options.output, model=options.estimate.model,
        spacing=options.spacing, iterations=options.estimate.iterations, fresh=options.fresh,
    )  # fmt: skip
    print(markdown(table[:10]))


def _memory(options: BenchmarkOptions) -> None:
    from dataclasses import asdict

    from FetalPoseLib.benchmark import memory
    from FetalPoseLib.benchmark.report import Folder, markdown, origin

    rows = [asdict(row) for row in memory.table(options.width)]
    finest = [asdict(row) for row in memory.finest(options.width)]
    out = Folder(options.output, [origin(f"memory --width {options.width}")])
    out.csv("memory.csv", rows)
    out.csv("memory_finest.csv", finest)
    about = " ".join(memory.__doc__.split("\n\n")[1].split())
    parts = (about, markdown(rows), f"## The finest voxels in {memory.CARD_GIB:g} GiB", markdown(finest))
    out.markdown("memory.md", "What gradient checkpointing saves", *parts)
    print(markdown(rows), markdown(finest), sep="\n\n")


def _speed(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark import speed
    from FetalPoseLib.benchmark.cases import open_case
    from FetalPoseLib.benchmark.report import markdown

    case = open_case("validation", 0, spacing=options.spacing)
    print(markdown(speed.measure(case, options.output, options.estimate, threads=options.threads)))


def _simulator(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark import simulator
    from FetalPoseLib.benchmark.report import markdown

    print(markdown(simulator.measure(options.output, volumes=min(options.subjects or 4, 24))))


def _cohort(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark import cohort
    from FetalPoseLib.benchmark.report import markdown
    from FetalPoseLib.cohort.cluster import check_packages

    check_packages()
    volumes = options.subjects or cohort.VOLUMES
    print(markdown(cohort.measure(options.output, options.estimate, volumes=volumes)))


def _pictures(options: BenchmarkOptions) -> None:
    from FetalPoseLib.benchmark.pictures import draw_all
    from FetalPoseLib.benchmark.report import make_folder

    records = (
        options.output / f"accuracy_{Path(options.estimate.model).stem}_{options.estimate.refinement}_validation.jsonl"
    )
    draw_all(records, make_folder(Path("docs/pictures")))


def _estimator(options: BenchmarkOptions):
    from FetalPoseLib.benchmark.observed import Observed

    return Observed.from_options(options.estimate)


def _subjects(options: BenchmarkOptions, split: str) -> range:
    from FetalPoseLib.simulation.fingerprint import FROZEN

    if split in ENDLESS_SPLITS:
        return range(options.first, options.first + (options.subjects or ENDLESS_SUBJECTS))
    end = min(options.first + (options.subjects or FROZEN[split]), FROZEN[split])
    if options.first >= end:
        raise FetalPoseError(f"The split {split} has {FROZEN[split]} subjects. Choose a smaller first index.")
    return range(options.first, end)
