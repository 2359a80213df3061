"""Compare two poses of one fetus at two dates: growth of each segment, change of size, age and angles.

FIRST and SECOND are .mrk.json files, the earlier one first. Lengths grow in mm and percent; angles change in degrees.

  fetalpose compare early.mrk.json late.mrk.json
  fetalpose compare early.mrk.json late.mrk.json --output growth.csv
  fetalpose compare early.mrk.json late.mrk.json --output growth.html

Research use only: the errors of both poses add up, see docs/clinic.md.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="FIRST.mrk.json", type=Path, help="the earlier pose")
    parser.add_argument("second", metavar="SECOND.mrk.json", type=Path, help="the later pose")
    parser.add_argument("--output", metavar="TABLE", type=Path, help="write the table, too: .csv or .html")


def run(args: argparse.Namespace) -> None:
    from FetalPoseLib.session.compare_files import compare_files

    for row in compare_files(args.first, args.second, args.output):
        change = f"{row['change']:>8} {row['unit']}" if row["change"] else f"{'-':>8}"
        percent = f"{row['change_percent']:>8} %" if row["change_percent"] else ""
        print(f"{row['measure']:<26}{row['first'] or '-':>8}{row['second'] or '-':>8}{change}{percent}")
