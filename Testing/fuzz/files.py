"""The kinds of files that are read, how each is bent, and what must hold of what was read in spite of it."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.pose_library import PoseLibrary, atlas_obstacle
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.resources import resource_path
from FetalPoseLib.training.kept import read_rows
from FetalPoseLib.training.pool import load_case
from FetalPoseLib.volume.intensity import normalise_intensity, picture_of
from Testing.fuzz.damage import bent_bytes, bent_json
from Testing.volume_files import metaimage, nifti, nrrd, picture

ARRAY = picture((40, 42, 44))


@dataclass(frozen=True)
class Kind:
    """A kind of file: ``bend`` makes one in a folder, ``read`` returns None or what is wrong with what it read."""

    bend: Callable[[Path, np.random.Generator], Path]
    read: Callable[[Path], str | None]


# volumes


@cache
def volumes() -> dict[str, bytes]:
    raw = ARRAY.tobytes()
    return {
        "a.nrrd": nrrd(ARRAY),
        "b.nrrd": nrrd(ARRAY, encoding="gzip", payload=gzip.compress(raw, 1)),
        "c.mha": metaimage(ARRAY),
        "d.mha": metaimage(ARRAY, CompressedData="True", payload=zlib.compress(raw, 1)),
        "e.nii": nifti(ARRAY, qform=(0.1, 0.2, 0.3, 1, 2, 3)),
        "f.nii.gz": gzip.compress(nifti(ARRAY, qform=(0.1, 0.2, 0.3, 1, 2, 3)), 1),
    }


def bend_header(folder: Path, rng: np.random.Generator) -> Path:
    name = list(volumes())[rng.integers(len(volumes()))]
    return _write(folder / name, bent_bytes(volumes()[name], rng, first=400))


def bend_payload(folder: Path, rng: np.random.Generator) -> Path:
    name = list(volumes())[rng.integers(len(volumes()))]
    return _write(folder / name, bent_bytes(volumes()[name], rng))


def read_volume(path: Path) -> str | None:
    scene = mrml.new_scene()
    volume = mrml.volume_from_node(mrml.read_volume(scene, path))
    image = normalise_intensity(torch.from_numpy(picture_of(volume).array).float())
    return None if image.isfinite().all() else "greys that are not finite"


# poses


@cache
def sample_pose() -> dict:
    return json.loads(resource_path("sample", "sample.mrk.json").read_text(encoding="utf-8"))


def bend_pose(folder: Path, rng: np.random.Generator) -> Path:
    text = bent_json(sample_pose(), rng).encode()
    return _write(folder / "pose.mrk.json", bent_bytes(text, rng) if rng.random() < 0.3 else text)


def bend_fcsv(folder: Path, rng: np.random.Generator) -> Path:
    rows = [f"{i},{i},{2 * i},{3 * i},0,0,0,1,1,1,0,{name},,,2,0" for i, name in enumerate(load_skeleton().landmarks)]
    columns = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    head = ["# Markups fiducial file version = 5.8", "# CoordinateSystem = LPS", f"# columns = {columns}"]
    return _write(folder / "pose.fcsv", bent_bytes("\n".join([*head, *rows, ""]).encode(), rng))


def read_pose(path: Path) -> str | None:
    scene = mrml.new_scene()
    try:
        node = mrml.load_pose(scene, path)
    except Exception:
        if scene.GetNumberOfNodes():
            return "an error that leaves nodes in the scene"
        raise
    points, confidence = mrml.points_of(node), mrml.confidence_of(node)
    mrml.update_derived(node)
    mrml.placed_landmarks(node)
    mrml.radius_of(node)
    mrml.length_intervals_of(node)
    mrml.save_pose(node, path.with_name("again.mrk.json"))
    again = mrml.points_of(mrml.load_pose(scene, path.with_name("again.mrk.json")))
    if not mrml.is_whole(node) or np.nanmax(np.abs(points), initial=0) > 1e5 or np.isinf(points).any():
        return "a pose that is none"
    if np.nanmax(np.abs(confidence), initial=0) > 2:
        return f"a confidence of {np.nanmax(confidence)}"
    return None if np.allclose(points, again, atol=1e-3, equal_nan=True) else "another pose after saving"


# libraries, cases, weights, skeletons, logs


@cache
def library_arrays() -> dict[str, np.ndarray]:
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    names = np.array(library.names[:6])
    return {"poses": library.poses[:6], "names": names, "landmarks": np.array(load_skeleton().landmarks),
            "meta": np.array("{}")}  # fmt: skip


def bend_library(folder: Path, rng: np.random.Generator) -> Path:
    return _bend_npz(folder / "library.npz", library_arrays(), rng)


def bend_case(folder: Path, rng: np.random.Generator) -> Path:
    landmarks = library_arrays()["poses"][0]
    arrays = {"volume": ARRAY, "affine": np.eye(4), "landmarks": landmarks, "body": landmarks, "source": np.array("x")}
    return _bend_npz(folder / "case.npz", arrays, rng)


def _bend_npz(path: Path, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> Path:
    arrays = dict(arrays)
    name = list(arrays)[rng.integers(len(arrays))]
    value = arrays[name]
    choice = rng.integers(9)
    if choice == 0:
        del arrays[name]
    elif choice == 1:
        arrays[name] = value[..., None]
    elif choice == 2:
        arrays[name] = value.astype("U9") if value.dtype.kind != "U" else np.arange(value.size)
    elif choice == 3:
        arrays[name] = value.ravel()[: value.size // 2]
    elif choice == 4 and value.dtype.kind == "f":
        arrays[name] = value * rng.choice([0.0, np.nan, np.inf, 1e300, 1e-9, -1.0])
    elif choice == 5 and value.dtype.kind == "f":
        arrays[name] = value.astype([np.float16, np.complex128, ">f8", np.int64][rng.integers(4)])
    elif choice == 6:
        arrays[name] = np.array(["[" * 100_000, "[1]", "null", "{", '{"a": NaN}'][rng.integers(5)])
    file = io.BytesIO()
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(file, **arrays)
    data = file.getvalue()
    return _write(path, bent_bytes(data, rng) if choice >= 7 or rng.random() < 0.3 else data)


def read_library(path: Path) -> str | None:
    library = PoseLibrary.load(path)
    wrong = [atlas_obstacle(pose, library.skeleton) for pose in library.poses]
    if any(wrong) or len(library.names) != len(library):
        return f"atlases that are none: {wrong}"
    if len(library) and not np.isfinite(library.register(library_arrays()["poses"][0], similarity=True).residual).all():
        return "a registration that is not finite"
    return None


def read_case(path: Path) -> str | None:
    case = load_case(path)
    return None if case.volume.ndim == 3 and case.grid.shape == case.volume.shape[::-1] else "a case that is none"


@cache
def weights() -> tuple[dict, dict]:
    data = resource_path("models", "r4.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return load(data), {key: json.loads(value) for key, value in header.items()}


def bend_weights(folder: Path, rng: np.random.Generator) -> Path:
    state, metadata = weights()
    state = dict(state)
    if rng.random() < 0.5:
        key = list(state)[rng.integers(len(state))]
        match rng.integers(5):
            case 0:
                del state[key]
            case 1:
                state[key] = state[key].flatten()[:1].clone()
            case 2:
                state[key] = state[key].to(torch.float64) * float(rng.choice([np.nan, np.inf, 1e200]))
            case 3:
                state[key + str(rng.choice([".scale", ".shape", ".x"]))] = torch.ones(3)
            case _:
                state[key] = state[key].to(torch.int8)
    try:
        header = json.loads(bent_json(metadata, rng)) if rng.random() < 0.7 else metadata
        header = header if isinstance(header, dict) else {}
        data = save(state, {str(key): json.dumps(value) for key, value in header.items()})
    except (ValueError, RecursionError, UnicodeError):  # not every bent header can be written
        data = save(state, {"networks": "{}"})
    return _write(folder / "w.safetensors", bent_bytes(data, rng, first=3000) if rng.random() < 0.3 else data)


def read_weights(path: Path) -> str | None:
    estimator = Estimator(path, device="cpu", precision="float32")
    network = estimator.detector.main
    size = network.net.multiple * 2
    with torch.inference_mode():
        heatmaps = network.heatmaps(torch.zeros(size, size, size))
    return None if heatmaps.shape[0] == len(load_skeleton()) else f"{heatmaps.shape[0]} heatmaps"


def bend_skeleton(folder: Path, rng: np.random.Generator) -> Path:
    document = json.loads(next(resource_path("models").parent.glob("*skeleton*.json")).read_text(encoding="utf-8"))
    text = bent_json(document, rng).encode()
    return _write(folder / "skeleton.json", bent_bytes(text, rng) if rng.random() < 0.2 else text)


def read_skeleton(path: Path) -> str | None:
    skeleton = load_skeleton(path)
    ends = [end for segment in skeleton.segments for end in (segment.start, segment.end)]
    right = all(0 <= end < len(skeleton) for end in ends) and len(set(skeleton.landmarks)) == len(skeleton)
    return None if right and all(skeleton.partner(limb) for limb in skeleton.limbs) else "a skeleton that is none"


def bend_log(folder: Path, rng: np.random.Generator) -> Path:
    rows = "".join(json.dumps({"step": step, "loss": 0.1, "mean_mm": 2.0}) + "\n" for step in range(1, 9))
    return _write(folder / "log.jsonl", bent_bytes(rows.encode(), rng))


def read_log(path: Path) -> str | None:
    return None if all(isinstance(row["step"], int) for row in read_rows(path)) else "rows that are none"


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


#: By name: the kind, and its share of the trials.
KINDS: dict[str, tuple[Kind, float]] = {
    "volume, header": (Kind(bend_header, read_volume), 0.16),
    "volume, voxels": (Kind(bend_payload, read_volume), 0.08),
    "pose, .mrk.json": (Kind(bend_pose, read_pose), 0.26),
    "pose, .fcsv": (Kind(bend_fcsv, read_pose), 0.05),
    "library, .npz": (Kind(bend_library, read_library), 0.12),
    "training case, .npz": (Kind(bend_case, read_case), 0.06),
    "weights, .safetensors": (Kind(bend_weights, read_weights), 0.1),
    "skeleton, .json": (Kind(bend_skeleton, read_skeleton), 0.08),
    "log, .jsonl": (Kind(bend_log, read_log), 0.03),
}
