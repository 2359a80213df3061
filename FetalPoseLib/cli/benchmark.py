"""Measure this implementation and write the tables and figures of the README, with where each comes from.

  accuracy     errors, AUC, lengths and sides on Sim-152, before and after refinement, beside the paper's figures
  methods      the paper's eight methods and ours on test and shifted: its Tables 1 and 2, its Figures 5 and 6
  refinement   options of refinement compared on the validation subjects: refinement_MODEL.csv
  memory       what gradient checkpointing saves
  speed        seconds of each stage of an estimate, cold and warm
  simulator    seconds of a simulated volume
  pictures     the README's, from the records of accuracy, into the folder docs/pictures
  all          all of these

  fetalpose benchmark accuracy
  fetalpose benchmark accuracy --split test shifted
  fetalpose benchmark refinement --vary lr=1e-4,5e-4 --vary k=5,10,20 --full
  fetalpose benchmark methods --weights runs

Choose on validation; run test and shifted once, at the end. Volumes are simulated into build/benchmark/cases the first
time, most of a minute each; what was measured is kept, so a run that was stopped goes on.
"""

import argparse
from pathlib import Path

from FetalPoseLib.cli.estimate import add_estimator_arguments
from FetalPoseLib.errors import FetalPoseError

_WHAT = ("pictures", "methods", "accuracy", "refinement", "memory", "speed", "simulator")
_SPLITS = ("validation", "test", "shifted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=(*_WHAT, "all"), help=f"{', '.join(_WHAT)} or all")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("benchmarks"), help="where it goes (default benchmarks)"
    )
    add_estimator_arguments(parser)
    parser.add_argument("--split", nargs="+", choices=_SPLITS, default=["validation"], help="accuracy: which subjects")
    parser.add_argument("--subjects", type=_positive, metavar="N", help="only the first N of each split")
    parser.add_argument("--spacing", type=float, metavar="MM", default=0.5, help="of the volumes (default 0.5)")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument(
        "--weights",
        metavar="FOLDER",
        type=Path,
        default=Path("runs"),
        help="methods: the rivals' "
        "weights, such as r4-rnn.safetensors, where there are no records of them yet (default runs)",
    )
    parser.add_argument("--vary", action="append", metavar="NAME=A,B", help="refinement: an option and its values")
    parser.add_argument("--full", action="store_true", help="refinement: every combination, not one change at a time")
    parser.add_argument("--width", type=_positive, default=16, help="memory: channels of the first level (default 16)")
    parser.add_argument("--threads", type=_positive, metavar="N", help="of the CPU (default PyTorch's choice)")


def run(args: argparse.Namespace) -> None:
    if not 0.3 <= args.spacing <= 5:
        raise FetalPoseError(f"A spacing of {args.spacing:g} mm cannot be simulated. Choose 0.3 to 5 mm.")
    import torch

    from FetalPoseLib.benchmark.report import make_folder

    make_folder(args.output)
    if args.threads:
        torch.set_num_threads(args.threads)
    parts = {"accuracy": _accuracy, "refinement": _refinement, "memory": _memory, "speed": _speed}
    parts |= {"simulator": _simulator, "pictures": _pictures, "methods": _methods}
    for what in reversed(_WHAT) if args.what == "all" else (args.what,):  # the short ones first
        parts[what](args)
    print(f"wrote the results into {args.output}")


def _accuracy(args) -> None:
    from FetalPoseLib.benchmark.accuracy import measure
    from FetalPoseLib.benchmark.report import markdown
    from FetalPoseLib.benchmark.tables import difference_table, summary_table, write_tables

    options = {"model": args.model, "spacing": args.spacing, "iterations": args.iterations, "fresh": args.fresh}
    options["refinement"] = args.refinement
    estimator = _estimator(args)
    for split in args.split:
        measure(estimator, split, _subjects(args, split), args.output, **options)
    runs = write_tables(args.output)
    print(markdown(summary_table(runs)), markdown(difference_table(runs)), sep="\n\n")


def _methods(args) -> None:
    from FetalPoseLib.benchmark.methods import measure_all, write_methods
    from FetalPoseLib.benchmark.report import markdown

    def make(**options):
        return _estimator(argparse.Namespace(**{**vars(args), **options}))

    measure_all(make, args.weights, args.output, spacing=args.spacing, fresh=args.fresh)
    print(markdown(write_methods(args.output)))


def _refinement(args) -> None:
    from FetalPoseLib.benchmark.choices import AXES, choose, combinations, parse_axes
    from FetalPoseLib.benchmark.report import markdown

    axes, estimator = parse_axes(args.vary) if args.vary else AXES, _estimator(args)
    options = combinations(axes, full=args.full)
    table = choose(
        estimator, options, _subjects(args, "validation"), args.output, model=args.model, spacing=args.spacing,
        iterations=args.iterations, fresh=args.fresh,
    )  # fmt: skip
    print(markdown(table[:10]))


def _memory(args) -> None:
    from dataclasses import asdict

    from FetalPoseLib.benchmark import memory
    from FetalPoseLib.benchmark.report import Folder, markdown, origin

    rows = [asdict(row) for row in memory.table(args.width)]
    finest = [asdict(row) for row in memory.finest(args.width)]
    out = Folder(args.output, [origin(f"memory --width {args.width}")])
    out.csv("memory.csv", rows)
    out.csv("memory_finest.csv", finest)
    about = " ".join(memory.__doc__.split("\n\n")[1].split())
    parts = (about, markdown(rows), f"## The finest voxels in {memory.CARD_GIB:g} GiB", markdown(finest))
    out.markdown("memory.md", "What gradient checkpointing saves", *parts)
    print(markdown(rows), markdown(finest), sep="\n\n")


def _speed(args) -> None:
    from FetalPoseLib.benchmark import speed
    from FetalPoseLib.benchmark.cases import open_case
    from FetalPoseLib.benchmark.report import markdown

    options = {"device": args.device, "iterations": args.iterations, "threads": args.threads}
    case = open_case("validation", 0, spacing=args.spacing)
    print(markdown(speed.measure(case, args.output, model=args.model, **options)))


def _simulator(args) -> None:
    from FetalPoseLib.benchmark import simulator
    from FetalPoseLib.benchmark.report import markdown

    print(markdown(simulator.measure(args.output, volumes=min(args.subjects or 4, 24))))


def _pictures(args) -> None:
    from FetalPoseLib.benchmark.pictures import draw_all
    from FetalPoseLib.benchmark.report import make_folder

    records = args.output / f"accuracy_{Path(args.model).stem}_{args.refinement}_validation.jsonl"
    draw_all(records, make_folder(Path("docs/pictures")))


def _estimator(args):
    from FetalPoseLib.benchmark.observed import Observed

    return (args.estimator_factory or Observed)(model=args.model, device=args.device, refinement=args.refinement)


def _subjects(args, split: str) -> range:
    from FetalPoseLib.simulation.fingerprint import FROZEN

    return range(min(args.subjects or FROZEN[split], FROZEN[split]))


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a count: give 1, 2, ...")
    return int(text)
