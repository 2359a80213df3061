"""Serve the clinician's page: load, estimate, correct, measure and export a pose in a browser.

Needs the extra 'web' in an environment of its own; 'make web' in a checkout makes it and starts. The page's address
with its secret is printed, and opened in this computer's browser. Volumes stay on this computer. Stop with Ctrl-C; a
pose that was not exported is offered again at the next start.

  fetalpose web
  fetalpose web volume.nrrd
  fetalpose web --host 0.0.0.0 --port 8080 --origin https://pose.hospital.example --idle 60 --forget
"""

import argparse
import os
from pathlib import Path

from FetalPoseLib.cli.options import count, positive, take_defaults
from FetalPoseLib.network.device import DEVICES
from FetalPoseWeb.options import WebOptions, state_folder

SECRET = "FETALPOSE_WEB_SECRET"  # variable, so that the secret stands in no list of processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("volume", metavar="VOLUME", type=Path, nargs="?", help="NRRD, NIfTI, MetaImage or Kretz file, or DICOM folder")
    add("--host", metavar="ADDRESS", help="to listen on (default %(default)s, which only this computer reaches)")
    add("--port", type=count, metavar="N", help="(default a free one)")
    add(
        "--origin",
        dest="origins",
        action="append",
        metavar="URL",
        help="address of the page as browsers see it, where a proxy is in between; may be given several times",
    )
    add("--no-browser", dest="browser", action="store_false", help="only print the address")
    add("--limit", dest="limit_mib", type=positive, metavar="MIB", help="of one upload (default %(default)s)")
    add(
        "--idle",
        dest="idle_min",
        type=float,
        metavar="MINUTES",
        help="end so long after the last page was closed (default never)",
    )
    add("--forget", action="store_true", help="at the end delete a pose that was not exported, too")
    add("--folder", type=Path, metavar="FOLDER", help=f"of what the server stores (default {state_folder()})")
    add("--library", dest="library_folder", metavar="FOLDER", help="of your own pose library, for 'Add to my library'")
    add("--device", dest="device", choices=DEVICES, help="auto (default) takes a GPU if there is one")
    take_defaults(parser, WebOptions)
    parser.set_defaults(folder=state_folder())


def run(args: argparse.Namespace) -> None:
    from FetalPoseWeb.serve import serve

    serve(
        WebOptions(
            volume=args.volume,
            host=args.host,
            port=args.port,
            secret=os.environ.pop(SECRET, ""),
            origins=tuple(args.origins),
            browser=args.browser,
            limit_mib=args.limit_mib,
            idle_min=args.idle_min,
            forget=args.forget,
            folder=args.folder,
            library_folder=args.library_folder,
            device=args.device,
        )
    )
