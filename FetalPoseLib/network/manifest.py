"""Which models are bundled. It needs no torch, so that a panel can ask."""

from __future__ import annotations

import json
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.resources import resource_path


def read_manifest(path: Path) -> dict[str, dict]:
    """The bundled models by name, each with file and sha256 (null until trained), kind, spacing_mm, description, ..."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FetalPoseError(f"The models' manifest {path} is not valid JSON: {error}. Reinstall FetalPose.") from error


def bundled_name(name: str) -> str:
    """The name, if a bundled model has it: a scene of someone else's must not have any other file opened.

    Raises
    ------
    FetalPoseError
        No bundled model has this name, as where it is the path of a file.
    """
    manifest = read_manifest(resource_path("models", "manifest.json"))
    if name not in manifest:
        raise FetalPoseError(
            f"The scene asks for the model {listed([name])}, which is not bundled. "
            f"Choose one of {', '.join(manifest)}, or give your own file in the settings."
        )
    return name
