"""What a person chooses when the server starts, as one frozen value."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
MIB = 2**20


def state_folder() -> Path:
    """Where sessions are kept if no other folder is named: this person's own folder for the state of programs."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "fetalpose-web"


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """The options of `serve.serve`, one for each argument of ``fetalpose web``."""

    volume: Path | None = None  #: opened at once, or None
    host: str = LOOPBACK  #: address that the server listens on
    port: int = 0  #: 0 takes a free one
    secret: str = ""  #: of the page's address; "" makes a random one, as it should be
    origins: tuple[str, ...] = ()  #: further addresses of the page, "https://pose.hospital.example", behind a proxy
    browser: bool = True  #: open the page in this computer's browser
    limit_mib: int = 2048  #: of one upload
    idle_min: float = 0  #: end so long after the last page was closed; 0: never
    forget: bool = False  #: delete the kept pose, too, when the server ends
    folder: Path = field(default_factory=state_folder)  #: of the sessions; each makes a folder of its own in it
    library_folder: str = ""  #: of the person's own pose library; "" offers none
    device: str = "auto"  #: where the network runs

    @property
    def limit_bytes(self) -> int:
        """Of one upload."""
        return self.limit_mib * MIB

    @property
    def is_local(self) -> bool:
        """Whether only this computer reaches the server."""
        return self.host in (LOOPBACK, "localhost", "::1")
