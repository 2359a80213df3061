"""Results as files that say where they come from: which command, version, model and day wrote them."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from FetalPoseLib import __version__
from FetalPoseLib.body.measurements import write_csv
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.refinement.options import (
    CONSENSUS,
    ConsensusOptions,
    OnlineSslOptions,
    RefinementOptions,
    differences,
)


def origin(command: str) -> dict:
    """Who measures, where and when: the beginning of every header."""
    return {
        "command": f"fetalpose benchmark {command}",
        "version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
    }


#: What records, tables and the command line call a field of the options.
NAME_OF = {"learning_rate": "lr", "hold_confidence": "trust", "views": "looks"}


def refinement_record(options: RefinementOptions) -> dict:
    """The options as records hold them: all of consensus, and of the paper's loop what differs from the paper."""
    if isinstance(options, ConsensusOptions):
        return {"method": CONSENSUS, **named(asdict(options))}
    return {"method": "ssl", **named(differences(options, OnlineSslOptions()))}


def named(values: Mapping[str, object]) -> dict[str, object]:
    """Values of the options' fields by the names that records, tables and the command line give them."""
    return {NAME_OF.get(name, name): value for name, value in values.items()}


def model_origin(estimator, model: str) -> dict:
    """Which weights and atlases are measured."""
    library = getattr(estimator, "library", None)
    chosen = estimator.spacing_mm != estimator.own_spacing_mm
    return {
        "model": Path(model).stem,  # of weights of your own, the name without its folder
        "model_sha256": estimator.metadata["sha256"],
        "library_sha256": None if library is None else hashlib.sha256(library.poses.tobytes()).hexdigest(),
        "device": str(estimator.device),
        "refinement": refinement_record(estimator.refinement),
        **({"network_spacing_mm": estimator.spacing_mm} if chosen else {}),
    }


def cpu_name() -> str:
    """The processor as it calls itself, and how many of its cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def origin_line(header: dict) -> str:
    """One line for the head of a file."""
    words = [f"Written by '{header['command']}', FetalPose {header['version']}, {header['date']}"]
    if "model" in header:
        words.append(f"model {header['model']} (SHA-256 {header['model_sha256'][:12]})")
    if "split" in header:
        words.append(f"{header['split']} subjects at {header['spacing_mm']:g} mm")
    return ", ".join([*words, f"{header['cpu']}, {header['threads']} threads"])


def markdown(rows: Sequence[dict]) -> str:
    """Rows with the same keys as a table; numbers are shown to 0.01, smaller ones in full, None as a dash."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(row[head]) for head in heads) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"


class Folder:
    """Where results go. Every file begins with the lines that tell its origin; they start with # in a CSV file."""

    def __init__(self, path: Path, headers: Iterable[dict]):
        self.path, self.origins = make_folder(path), [origin_line(header) for header in headers]

    def csv(self, name: str, rows: Sequence[dict]) -> None:
        """Write rows as a CSV table; floats have six digits."""
        with replacing(self.path / name) as temporary:
            short = [{k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
            write_csv(temporary, short)
            head = "".join(f"# {line}\n" for line in self.origins)
            temporary.write_text(head + temporary.read_text(encoding="utf-8"), encoding="utf-8")

    def markdown(self, name: str, title: str, *parts: str) -> None:
        """Write a page: the title, the origins, the parts."""
        text = "\n\n".join([f"# {title}", "  \n".join(self.origins), *parts])
        with replacing(self.path / name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def figure(self, name: str, figure) -> None:
        """Write a matplotlib figure as PNG; its origin is the picture's description."""
        with replacing(self.path / name) as temporary:
            figure.savefig(temporary, dpi=110, metadata={"Description": "\n".join(self.origins)})


def make_folder(path: Path) -> Path:
    """`path`, made if it is not there; FetalPoseError if it can't be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {path}: {error.strerror}. Choose another.") from error
    return Path(path)
