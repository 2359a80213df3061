"""Starts the server of the page, and ends it: `serve` is what ``fetalpose web`` calls."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
import webbrowser
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseWeb.options import LOOPBACK, WebOptions

MISSING = (
    "The page in a browser needs packages that are not here: {names}. Install FetalPose with them in an environment of "
    "its own, pip install 'FetalPose[web]', or call 'make web' in a checkout."
)
OPEN_TO_ALL = (
    "The server listens on {host}: everybody who reaches this computer and knows the address with its secret can see "
    "the volumes, and the connection is not encrypted. Put it behind a proxy with login and TLS (docs/browser.md)."
)


def serve(options: WebOptions) -> None:
    """Serve the page until the person stops the process; prints the page's address.

    Raises
    ------
    FetalPoseError
        Packages are missing, the port is taken, the folder or the first volume cannot be used.
    """
    missing = [name for name in ("trame_slicer", "trame_rca", "aiohttp") if importlib.util.find_spec(name) is None]
    if missing:
        raise FetalPoseError(MISSING.format(names=", ".join(missing)))
    if options.volume is not None and not Path(options.volume).exists():
        raise FetalPoseError(f"{options.volume} does not exist. Check the name.")
    os.environ["WSLINK_READY_MSG"] = ""  # or the address is not alone on its line
    from FetalPoseWeb.application import Application

    if not options.is_local:
        print(f"Warning: {OPEN_TO_ALL.format(host=options.host)}", file=sys.stderr, flush=True)
    asyncio.set_event_loop(asyncio.new_event_loop())
    application = Application(options)
    try:
        application.run(lambda: _greet(application, options))
    except OSError as error:
        raise FetalPoseError(
            f"The server cannot listen on {options.host}, port {options.port}: {error.strerror or error}. Choose "
            "another port, or none for a free one."
        ) from error
    finally:
        application.close()


def _greet(application, options: WebOptions) -> None:
    print(f"FetalPose is at {application.address}", flush=True)
    print("Research use only. Press Ctrl-C to stop.", flush=True)
    if options.browser and options.host in (LOOPBACK, "localhost"):
        try:
            webbrowser.open(application.address)
        except webbrowser.Error:
            logging.info("no browser")
