"""Trained weights: which models there are, and opening one only if it is the file that was released.

A model is one safetensors file, which cannot run code when opened; its header carries what is needed to rebuild the
network. The manifest beside the bundled models holds their SHA-256.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.files import replacing
from FetalPoseLib.network.manifest import read_manifest
from FetalPoseLib.network.quantisation import unpacked
from FetalPoseLib.resources import resource_path

MOST_BYTES = 2**30  # a bundled model has some 10 MB


def load_manifest() -> dict[str, dict]:
    """The bundled models, see `read_manifest`."""
    return read_manifest(resource_path("models", "manifest.json"))


def open_model(name_or_path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights of a bundled model, or of a safetensors file of your own.

    Returns
    -------
    state : dict of str to tensor
        On the CPU.
    metadata : dict
        The manifest's entry, overlaid by the file's header (JSON values decoded), with "sha256" of the file as read.

    Raises
    ------
    FetalPoseError
        Unknown name, a model not trained yet, a missing or damaged file, or one whose SHA-256 differs.
    """
    manifest, name = load_manifest(), str(name_or_path)
    entry = manifest.get(name, {})
    if entry:
        path = _bundled_file(name, entry)
    elif _is_file(name):
        path = Path(name)
    else:
        raise FetalPoseError(
            f"There is no model '{listed([name])}': give a safetensors file or one of {', '.join(manifest)}."
        )
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    if entry and digest != entry["sha256"]:
        raise FetalPoseError(
            f"The weights {path} are not those released as '{name}': SHA-256 is {digest}, expected {entry['sha256']}. "
            "Restore the file, or give its path instead of the name to use it as your own model."
        )
    try:
        return unpacked(load(data)), {**entry, **_header_metadata(data), "sha256": digest}
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = listed([error])
        raise FetalPoseError(
            f"{path} is not a safetensors file: {reason}. Give the one that training wrote."
        ) from error


def save_model(path: str | Path, state: dict[str, torch.Tensor], metadata: dict) -> str:
    """Write a model that `open_model` reads; metadata values may be anything JSON can hold. Returns its SHA-256."""
    header = {key: json.dumps(value) for key, value in metadata.items()}
    data = save({key: value.detach().cpu().contiguous() for key, value in state.items()}, metadata=header)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _bundled_file(name: str, entry: dict) -> Path:
    if not entry.get("file"):
        raise FetalPoseError(
            f"The model '{name}' has not been trained and bundled yet. "
            f"Train it with 'fetalpose train --model {name}', then give the path of the weights it writes."
        )
    return resource_path("models", entry["file"])


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FetalPoseError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, too much for a model. Choose another."
            )
        return path.read_bytes()
    except OSError as error:
        raise FetalPoseError(f"Cannot read the weights {path}: {error.strerror}.") from error


def _header_metadata(data: bytes) -> dict:
    """The header's __metadata__; `load` from bytes drops it. A value that is not JSON is kept as text."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return {key: _decoded(value) for key, value in metadata.items()}


def _decoded(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
