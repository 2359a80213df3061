"""`make fuzz`: damaged files and odd clicks, each in a process of its own; counts by outcome.

  python -m Testing.fuzz --count 2000 --seed 1
  python -m Testing.fuzz --only "pose, .mrk.json" --seed 1 --first 37 --count 1

A trial is made of the seed and its number alone. Files are read or refused with one clear message; anything else is
printed with its number, and the exit status is 1.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from FetalPoseLib import scene as mrml
from Testing.fuzz import clicks
from Testing.fuzz.child import outcome
from Testing.fuzz.files import KINDS

CLICKS = {"clicks": (clicks.play, 0.05), "kills of the process": (clicks.kill, 0.01)}
RIGHT = ("read", "refused")


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)  # a fork of other threads would stand still
    mrml.silence_log()
    shares = {name: share for name, (_, share) in {**KINDS, **CLICKS}.items() if arguments.only in (None, name)}
    whole = sum(shares.values())
    counts: dict[str, Counter] = {name: Counter() for name in shares}
    bad = []
    for name, share in shares.items():
        for number in tqdm(range(round(arguments.count * share / whole)), desc=name, file=sys.stderr, leave=False):
            found = _trial(name, arguments.seed, arguments.first + number)
            counts[name][found.partition(":")[0]] += 1
            if found not in RIGHT:
                bad.append(f"{name}, trial {arguments.first + number}: {found}")
    _print(counts)
    print(*bad, sep="\n")
    return 1 if bad else 0


def _trial(name: str, seed: int, number: int) -> str:
    if name in CLICKS:
        play, _ = CLICKS[name]
        return outcome(lambda: play(seed * 1_000_000 + number))
    kind, _ = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng([seed, number, *name.encode()])
        path = kind.bend(Path(folder), rng)
        return outcome(lambda: kind.read(path))


def _print(counts: dict[str, Counter]) -> None:
    columns = [*RIGHT, "nonsense", "exception", "crash", "hang"]
    print(f"{'':<24}" + "".join(f"{column:>11}" for column in columns))
    for name, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{name:<24}" + "".join(f"{found[column]:>11}" for column in columns))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="trials of all kinds together (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other trials (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial of each kind")
    parser.add_argument("--only", choices=[*KINDS, *CLICKS], help="one kind alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
