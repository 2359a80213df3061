"""Why an installation by pip failed, and what a person can do: pip's exception holds neither, its lines do."""

from collections import deque
from collections.abc import Sequence

from slicer.i18n import tr as _

KEPT_LINES = 400  # pip prints the cause among its last
WORDS = {  # of pip, by cause; the first cause that is found counts
    "space": ("no space left", "errno 28", "not enough space", "disk quota"),
    "certificate": ("certificate_verify_failed", "sslerror", "certificate verify failed"),
    "network": (
        "failed to establish a new connection",
        "newconnectionerror",
        "name or service not known",
        "temporary failure in name resolution",
        "getaddrinfo failed",
        "network is unreachable",
        "no route to host",
        "connecttimeout",
        "connection timed out",
        "readtimeout",
        "read timed out",
        "proxyerror",
        "connection refused",
        "connection reset",
    ),
    "used": ("being used by another process", "winerror 32"),
    "rights": ("permission denied", "access is denied", "errno 13", "winerror 5]", "read-only file system"),
    "build": ("no matching distribution", "could not find a version", "requires a different python"),
}


class Heard:
    """Passes on what is printed, and keeps its last lines."""

    def __init__(self, stream):
        self._stream, self._parts = stream, deque(maxlen=KEPT_LINES)

    @property
    def text(self) -> str:
        """What was printed last."""
        return "".join(self._parts)

    def write(self, text: str) -> int:
        self._parts.append(text)
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def causeOf(printed: str) -> str:
    """A key of `WORDS`, "" where nothing of it was printed."""
    low = printed.lower()
    return next((cause for cause, words in WORDS.items() if any(word in low for word in words)), "")


def advice(printed: str, error: object, missing: Sequence[str]) -> str:
    """What a person is told of an installation that failed."""
    names = " ".join(missing)
    offline = _(
        "Without access to the internet: on a computer of the same kind that has it, run 'PythonSlicer -m pip download "
        "--dest packages {names}', copy the folder 'packages' here, run 'PythonSlicer -m pip install --no-index "
        "--find-links packages {names}', and restart 3D Slicer."
    ).format(names=names)
    texts = {
        "space": _(
            "The installation failed: the disk is full. Free up to 8 GB where 3D Slicer is installed, try again."
        ),
        "certificate": _(
            "The installation failed: the server's certificate was not accepted, as behind a proxy that inspects "
            "traffic. Ask your administrator for its certificate, and name that file in the environment variable "
            "PIP_CERT.\n{offline}"
        ).format(offline=offline),
        "network": _("The installation failed: the package server could not be reached.\n{offline}").format(
            offline=offline
        ),
        "used": _(
            "The installation failed: a package that is to be replaced is in use. Restart 3D Slicer, and click "
            "Estimate Pose before you open another module."
        ),
        "rights": _(
            "The installation failed: 3D Slicer may not write into its own folder. Install 3D Slicer for yourself "
            "alone, or start it once as administrator."
        ),
        "build": _(
            "The installation failed: {names} cannot be had for this kind of computer and this version of 3D Slicer. "
            "Install the newest 3D Slicer. The Python console says which package is lacking."
        ).format(names=names),
        "": _("The installation failed: {error}. The Python console shows what pip has said.\n{offline}").format(
            error=error, offline=offline
        ),
    }
    return texts[causeOf(printed)]
