"""Which models are bundled. It needs no torch, so that a panel can ask."""

from __future__ import annotations

import json
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError


def read_manifest(path: Path) -> dict[str, dict]:
    """The bundled models by name, each with file and sha256 (null until trained), kind, spacing_mm, description, ..."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FetalPoseError(f"The models' manifest {path} is not valid JSON: {error}. Reinstall FetalPose.") from error
