"""GE Kretz files from simulated volumes, since no real one can be had: by themselves, in DICOM and in a zip."""

import io
import struct
import zipfile

import numpy as np
from scipy.ndimage import map_coordinates

from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.simulation.display import compress, scan_convert, volume_to_world
from FetalPoseLib.simulation.ultrasound import beam_data
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeGrid, ProbeVolume

PATIENT = b"MUSTERFRAU^ERIKA 19800229"
HOSPITAL = b"Klinik am Beispielsee"


def item(group: int, element: int, data: bytes) -> bytes:
    return struct.pack("<HHI", group, element, len(data)) + data


def doubles(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def head_items(shape) -> dict:
    """The patient's items and the sizes (I, J, K), by tag."""
    items = {(0x0110, 1): PATIENT, (0x0110, 2): PATIENT, (0x0120, 1): PATIENT, (0x0140, 3): HOSPITAL}
    return items | {(0xC000, 1 + axis): struct.pack("<H", size) for axis, size in enumerate(shape)}


def toroidal_items(volume: ProbeVolume, *, centre: float = np.pi / 2) -> dict:
    """The items of a Kretz file, by tag, that hold this volume; angles are stated about ``centre``."""
    grid = volume.grid
    return head_items(grid.shape) | {
        (0xC100, 1): doubles(grid.step / 1000),
        (0xC200, 1): doubles(grid.radius / grid.step),
        (0xC200, 2): doubles(-grid.axis / grid.step),
        (0xC300, 1): doubles(*(grid.phi + centre)),
        (0xC300, 2): doubles(*(grid.theta + centre)),
        (0x0150, 2): HOSPITAL,
        (0xD000, 1): volume.array.tobytes(),
        (0xD000, 2): bytes(volume.array.size),  # the filtered copy
    }


def cartesian_items(array: np.ndarray, spacing: float) -> dict:
    return head_items(array.shape[::-1]) | {(0x0010, 0x22): doubles(spacing), (0xD000, 1): array.tobytes()}


def kretz(items: dict) -> bytes:
    return b"KRETZFILE 1.0   " + b"".join(item(*tag, data) for tag, data in items.items())


def dicom(payload: bytes, *, creator: bytes = b"KRETZ_US", block: int = 0x11) -> bytes:
    """An ultrasound image of a few pixels that carries a Kretz file, explicit VR little endian."""

    def element(group, number, kind, value):
        value += b" " * (len(value) % 2) if kind not in ("UI", "OB", "OW") else b"\0" * (len(value) % 2)
        head = struct.pack("<HH2s", group, number, kind.encode())
        long = kind in ("OB", "OW", "SQ", "UN")
        return head + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value

    meta = element(2, 2, "UI", b"1.2.840.10008.5.1.4.1.1.6.1") + element(2, 3, "UI", b"1.2.3.4")
    meta += element(2, 0x10, "UI", b"1.2.840.10008.1.2.1")
    body = element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.6.1") + element(8, 0x18, "UI", b"1.2.3.4")
    body += element(8, 0x80, "LO", HOSPITAL) + element(0x10, 0x10, "PN", PATIENT)
    body += element(0x28, 0x10, "US", struct.pack("<H", 2)) + element(0x28, 0x11, "US", struct.pack("<H", 2))
    body += element(0x7FE0, 0x10, "OW", bytes(4))
    body += element(0x7FE1, block, "LO", creator) + element(0x7FE1, block << 8 | 1, "OB", payload)
    return bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body


def zipped(*contents: bytes, compress: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{PATIENT.decode()}.xml", "<volume/>")
        for number, content in enumerate(contents):
            archive.writestr(f"{PATIENT.decode()}/{number}.vol", content)
    return buffer.getvalue()


def convex(*, samples=60, beams=41, fans=31, radius=40.0, step=0.9, axis=10.0, view=60, sweep=50, to_ras=None):
    """A transabdominal probe's grid; ``view`` and ``sweep`` are full angles in degrees."""
    half = np.radians(view) / 2, np.radians(sweep) / 2
    theta, phi = np.linspace(-half[0], half[0], beams), np.linspace(half[1], -half[1], fans)
    return ProbeGrid(samples, radius, step, axis, theta, phi, np.eye(4) if to_ras is None else to_ras)


def sampled(volume: Volume, grid: ProbeGrid) -> ProbeVolume:
    """A Cartesian volume read at a probe's samples, at least 1 everywhere, as a machine would store it."""
    k, j, i = np.indices(grid.array_shape, sparse=True)
    places = volume.grid.to_voxel(grid.to_world(np.stack(np.broadcast_arrays(i, j, k), axis=-1)))
    read = map_coordinates(volume.array.astype(np.float32), np.moveaxis(places, -1, 0)[::-1], order=1)
    return ProbeVolume(np.clip(np.rint(read), 1, 255).astype(np.uint8), grid)


def scanned(split: str, index: int, *, spacing: float = 0.5) -> tuple[ProbeVolume, Volume, np.ndarray]:
    """A simulated subject as the probe samples it and as the machine scan-converts it, both in the probe's world, and
    the true landmarks (16, 3)."""
    from dataclasses import replace

    subject = draw_subject(split, index)
    medium, probe, settings = subject.medium(), replace(subject.probe, box=(1e3, 1e3, 1e3)), subject.settings
    data = beam_data(medium, probe, settings, seed=int(subject.rng.integers(2**63)))
    grey = compress(data.envelope, settings)
    to_ras = np.eye(4)
    to_ras[:3, 3] = 0, 0, -probe.curvature  # the simulator's origin is the probe's face
    grid = ProbeGrid(
        len(data.r),
        probe.curvature + float(data.r[0]),
        probe.axial_sampling,
        probe.curvature - probe.pivot,
        data.theta.numpy(),
        -data.phi.numpy(),
        np.eye(4),
    )
    array = grey.mul(254).add_(1).round_().byte().permute(1, 2, 0).contiguous().numpy()
    to_probe = np.linalg.inv(probe.pose @ to_ras)
    cartesian = Volume(scan_convert(grey, probe, spacing), to_probe @ volume_to_world(probe, spacing))
    truth = subject.landmarks @ to_probe[:3, :3].T + to_probe[:3, 3]
    return ProbeVolume(array, grid), cartesian, truth


# --- the small volume of the tests that do not measure

GRID = convex(samples=13, beams=11, fans=7, step=2.5)
ARRAY = np.random.default_rng(1).integers(1, 255, GRID.array_shape, dtype=np.uint8)
PROBE_VOLUME = ProbeVolume(ARRAY, GRID)


def written(path, content: bytes):
    path.write_bytes(content)
    return path


def toroidal(**changes) -> dict:
    return toroidal_items(PROBE_VOLUME) | changes


def changed(tag, data) -> bytes:
    """A toroidal file with one item replaced, or left out if ``data`` is None."""
    items = toroidal_items(PROBE_VOLUME)
    if data is None:
        del items[tag]
    else:
        items[tag] = data
    return kretz(items)


def film(frames: int) -> tuple[bytes, np.ndarray]:
    arrays = np.random.default_rng(2).integers(1, 255, (frames, *GRID.array_shape), dtype=np.uint8)
    items = toroidal() | {(0xD400, 1): struct.pack("<I", frames), (0xD600, 1): arrays.tobytes()}
    return kretz(items), arrays
