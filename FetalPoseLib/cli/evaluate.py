"""Compare poses with the truth: error of each landmark, mean, AUC, lengths, and limbs taken for the other side's.

PREDICTED and TRUTH are two .mrk.json files, or two folders of them; in folders, files of the same name belong together.
AUC is the area under the PCK curve (the part of landmarks within a distance) from 0 to 10 mm, in percent.

  fetalpose evaluate pose.mrk.json truth.mrk.json
  fetalpose evaluate results/ truths/
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from FetalPoseLib.errors import FetalPoseError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predicted", metavar="PREDICTED", type=Path, help="a pose, or a folder of poses")
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="its truth, or the folder of the truths")


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from FetalPoseLib import scene as mrml
    from FetalPoseLib.evaluation.metrics import summary

    pairs = _pairs(args.predicted, args.truth)
    mrml.silence_log()
    scene = mrml.new_scene()
    poses = [
        [mrml.points_of(mrml.load_pose(scene, path)) for path in pair]
        for pair in tqdm(pairs, desc="reading", unit="pose", file=sys.stderr, leave=False, disable=len(pairs) < 2)
    ]
    predicted, truth = np.array(poses).transpose(1, 0, 2, 3)
    report(summary(predicted, truth))


def report(result: dict) -> None:
    """Print what `metrics.summary` found."""
    print(f"{'landmark':<24}{'error (mm)':>12}{'AUC (%)':>10}")
    for name, landmark in result["landmarks"].items():
        print(f"{name:<24}{_number(landmark['mean_mm'], 12)}{_number(landmark['auc'], 10)}")
    print(f"{'all':<24}{_number(result['mean_mm'], 12)}{_number(result['auc'], 10)}")
    print(f"\n{'segment':<24}{'error (mm)':>12}{'bias (mm)':>10}")
    for name, segment in [*result["segments"].items(), ("all", result["lengths"])]:
        print(f"{name:<24}{_number(segment['mean_absolute_mm'], 12)}{_number(segment['bias_mm'], 10)}")
    print(f"\nvolumes: {result['volumes']}")
    print(f"landmarks not found: {result['missed']}")
    print(f"limbs on the wrong side: {result['wrong_side_limbs']} of {result['limbs']}")


def _pairs(predicted: Path, truth: Path) -> list[tuple[Path, Path]]:
    for path in (predicted, truth):
        if not path.exists():
            raise FetalPoseError(f"{path} does not exist. Check its name.")
    if predicted.is_dir() != truth.is_dir():
        raise FetalPoseError(f"{predicted} and {truth} must be two files or two folders.")
    if not truth.is_dir():
        return [(predicted, truth)]
    names = sorted(path.name for path in truth.iterdir() if path.name.endswith(".mrk.json"))
    if not names:
        raise FetalPoseError(f"The folder {truth} holds no .mrk.json files. Choose the folder of the truths.")
    missing = [name for name in names if not (predicted / name).is_file()]
    if missing:
        raise FetalPoseError(
            f"{len(missing)} of {len(names)} truths have no pose of the same name in {predicted}, the first is "
            f"{missing[0]}. Add the poses, or take those truths out."
        )
    extra = len({path.name for path in predicted.glob("*.mrk.json")} - set(names))
    if extra:
        print(f"fetalpose: warning: {extra} poses in {predicted} have no truth and are left out", file=sys.stderr)
    return [(predicted / name, truth / name) for name in names]


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.2f}"
