"""A convex volume probe, mechanically swept or a matrix array: its beam geometry, its beam widths and its sampling.

A convex array (radius of curvature Rc) scans a plane of lines at lateral angles theta; a motor tilts that plane by the
elevational angle phi about a pivot Rm behind the array. A sample at depth r lies, in the probe's own millimetres, at

    x = (Rc + r) sin(theta)             rho = (Rc + r) cos(theta) - Rc
    y = (rho + Rm) sin(phi)             z   = (rho + Rm) cos(phi) - Rm

so x is lateral, y elevational, z depth, right-handed, with the origin at the middle of the probe's face.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

SOUND_SPEED = 1.54  # mm/us: the soft-tissue value on which every scanner bases its distances

# Full width at half maximum of the two-way beam, in units of wavelength x F-number. An unapodised aperture has 0.89
# (sinc^2); the apodisation that keeps side lobes low widens it (Szabo, Diagnostic Ultrasound Imaging, beamforming).
TWO_WAY_WIDTH = 1.2

# Share of the geometric cone |r - focus| / F-number that remains as width off focus: receive focusing is dynamic
# laterally, so only the transmit beam spreads; elevationally one fixed lens serves both ways.
LATERAL_DEFOCUS = 0.04
ELEVATIONAL_DEFOCUS = 0.25


@dataclass(frozen=True, eq=False)
class Probe:
    """A convex volume probe, its scan settings and where it is held. Lengths in mm, angles in degrees, MHz.

    The defaults are a transabdominal mechanical volume probe of the 2-8 MHz class, whose face measures some 50 x 40 mm.
    Curvature, view and frequencies are those that makers state for such probes; pivot and apertures, which they do not,
    follow from the size of the face and from elevational resolution as seen.

    curvature, pivot: Rc and Rm above. lateral_view, sweep: full angles of the sector and of the array's movement.
    start_depth, depth: first and last sample. frequency, fractional_bandwidth: centre, and -6 dB width relative to it.
    lateral_aperture, lateral_f_number: the aperture grows with depth at this F-number until it has this size.
    elevational_aperture: of the fixed lens. lateral_focus, elevational_focus: depths of the transmit and lens focus.
    axial_sampling: between stored samples. lines_per_width: lines, or frames, per beam width at mid depth.
    box: largest stored volume (lateral, elevational, depth), which cuts the sector.
    steered: a matrix array, which focuses elevationally as it does laterally; otherwise one lens does.
    pose: (4, 4) rigid transform from the probe's coordinates to world RAS.

    Raises ValueError if the pose mirrors or the lines start behind the pivot.

    >>> probe = Probe(depth=120.0)
    >>> points = probe.sample_points()  # (depths, frames, lines, 3), world RAS
    """

    curvature: float = 45.0
    pivot: float = 35.0
    lateral_view: float = 66.0
    sweep: float = 66.0
    start_depth: float = 8.0
    depth: float = 128.0
    frequency: float = 4.5
    fractional_bandwidth: float = 0.6
    lateral_aperture: float = 22.0
    lateral_f_number: float = 2.5
    lateral_focus: float = 75.0
    elevational_aperture: float = 13.0
    elevational_focus: float = 75.0
    axial_sampling: float = 0.3
    lines_per_width: float = 1.25
    box: tuple[float, float, float] = (110.0, 102.5, 130.0)
    steered: bool = False
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))

    def __post_init__(self):
        if not np.linalg.det(np.asarray(self.pose)[:3, :3]) > 0:
            raise ValueError("The probe's pose mirrors: left and right would be swapped.")
        reach = (self.curvature + self.start_depth) * np.cos(np.radians(self.lateral_view / 2)) - self.curvature
        if reach + self.pivot <= 0:
            raise ValueError(f"The outermost lines start behind the sweep's pivot ({reach + self.pivot:.1f} mm).")

    @classmethod
    def random(cls, rng: np.random.Generator, pose: np.ndarray | None = None) -> "Probe":
        """A transabdominal volume probe as first-trimester scans are made with: 2-8 MHz, Rc 40-50 mm."""
        return cls(
            curvature=rng.uniform(40, 50),
            pivot=rng.uniform(28, 42),
            lateral_view=rng.uniform(60, 74),
            sweep=rng.uniform(58, 74),
            start_depth=rng.uniform(4, 12),
            depth=rng.uniform(118, 134),
            frequency=rng.uniform(3.5, 5.5),
            fractional_bandwidth=rng.uniform(0.45, 0.75),
            lateral_aperture=rng.uniform(18, 26),
            lateral_f_number=rng.uniform(2.0, 3.0),
            lateral_focus=rng.uniform(60, 95),
            elevational_aperture=rng.uniform(11, 15),
            elevational_focus=rng.uniform(60, 90),
            box=tuple(rng.uniform(0.95, 1.05, 3) * (110.0, 102.5, 130.0)),
            pose=np.eye(4) if pose is None else pose,
        )

    @classmethod
    def transvaginal(cls, rng: np.random.Generator, pose: np.ndarray | None = None) -> "Probe":
        """A transvaginal volume probe (5-9 MHz, tight curvature, wide sector). Only the shifted subjects have it."""
        return cls(
            curvature=rng.uniform(10, 12),
            pivot=rng.uniform(9, 12),
            lateral_view=rng.uniform(105, 120),
            sweep=rng.uniform(80, 90),
            start_depth=rng.uniform(4, 8),
            depth=rng.uniform(95, 110),
            frequency=rng.uniform(5.5, 7.0),
            fractional_bandwidth=rng.uniform(0.5, 0.7),
            lateral_aperture=rng.uniform(10, 13),
            lateral_f_number=rng.uniform(2.0, 3.0),
            lateral_focus=rng.uniform(45, 65),
            elevational_aperture=rng.uniform(6, 8),
            elevational_focus=rng.uniform(40, 60),
            pose=np.eye(4) if pose is None else pose,
        )

    def held_at(self, pose: np.ndarray) -> "Probe":
        """The same probe held at another pose (4, 4) probe -> world RAS."""
        return replace(self, pose=np.asarray(pose, float))

    # Beam widths: full width at half maximum of the echo amplitude, mm

    @property
    def wavelength(self) -> float:
        """Of the centre frequency, mm."""
        return SOUND_SPEED / self.frequency

    def axial_width(self) -> float:
        """Pulse length of a Gaussian band, 4 ln2 / (pi B) in time and half of it in depth, joined in quadrature
        with the low-pass filter that precedes the decimation to stored samples."""
        pulse = SOUND_SPEED / 2 * 4 * np.log(2) / (np.pi * self.fractional_bandwidth * self.frequency)
        return float(np.hypot(pulse, 1.4 * self.axial_sampling))

    def lateral_width(self, r):
        """Diffraction with an aperture that grows with depth until the array ends; weak defocus off the focus."""
        f_number = (r / self.lateral_aperture).clip(min=self.lateral_f_number)
        return self._width(r, f_number, self.lateral_focus, LATERAL_DEFOCUS)

    def elevational_width(self, r):
        """Diffraction of the fixed aperture behind its lens, with strong defocus off the focus; of a matrix array, of
        its growing aperture."""
        f_number = (r / self.elevational_aperture).clip(min=self.lateral_f_number)
        defocus = LATERAL_DEFOCUS if self.steered else ELEVATIONAL_DEFOCUS
        return self._width(r, f_number, self.elevational_focus, defocus)

    def _width(self, r, f_number, focus, share):
        diffraction = TWO_WAY_WIDTH * self.wavelength * f_number
        defocus = share * abs(r - focus) / f_number
        return ((diffraction**2 + defocus**2) ** 0.5).clip(min=2 * self.axial_width())

    # The grid of samples: depths (R,), frames at phi (E,), lines at theta (L,), radians

    @property
    def mid_depth(self) -> float:
        """Middle of the depths that are stored, mm."""
        return (self.start_depth + self.depth) / 2

    def depths(self) -> torch.Tensor:
        """Depths of the samples (R,) mm."""
        count = int((self.depth - self.start_depth) / self.axial_sampling) + 1
        return self.start_depth + self.axial_sampling * torch.arange(count, dtype=torch.float32)

    def thetas(self) -> torch.Tensor:
        """Angles of the lines (L,) in radians, about one per beam width."""
        width = self.lateral_width(np.float64(self.mid_depth)) / (self.curvature + self.mid_depth)
        return self._angles(self.lateral_view, width)

    def phis(self) -> torch.Tensor:
        """Angles of the frames (E,) in radians, about one per beam width."""
        width = self.elevational_width(np.float64(self.mid_depth)) / (self.pivot + self.mid_depth)
        return self._angles(self.sweep, width)

    def _angles(self, view, width):
        half = np.radians(view) / 2
        count = 2 * int(np.ceil(half * self.lines_per_width / width)) + 1
        return torch.linspace(-half, half, count, dtype=torch.float32)

    def elevational_radius(self, r: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Distance (R, 1, L) in mm from the sweep's axis: the metric of phi."""
        return ((self.curvature + r[:, None, None]) * torch.cos(theta) - self.curvature) + self.pivot

    def sample_points(self, device="cpu") -> torch.Tensor:
        """World RAS points (R, E, L, 3) of all samples, float32."""
        r, phi, theta = (axis.to(device) for axis in (self.depths(), self.phis(), self.thetas()))
        radius = self.elevational_radius(r, theta)
        x = (self.curvature + r[:, None, None]) * torch.sin(theta)
        lateral, elevational, depth, origin = np.asarray(self.pose, float)[:3].T.tolist()
        coordinates = []
        for axis in range(3):
            across = (elevational[axis] * torch.sin(phi) + depth[axis] * torch.cos(phi))[:, None]
            offset = lateral[axis] * x + (origin[axis] - depth[axis] * self.pivot)
            coordinates.append(torch.addcmul(offset, radius, across))
        return torch.stack(coordinates, dim=-1)

    def to_beam(self, x, y, z):
        """Probe coordinates (mm tensors that broadcast) -> (r mm, phi, theta radians)."""
        phi = torch.atan2(y, z + self.pivot)
        reach = torch.hypot(y, z + self.pivot) - self.pivot + self.curvature
        return torch.hypot(x, reach) - self.curvature, phi, torch.atan2(x, reach)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner (3,) of the stored box in probe mm: the sector's own box, cut to `box`; what is cut
        is equal left and right and in front and behind, and in depth what lies next to the probe."""
        theta, phi = np.radians(self.lateral_view / 2), np.radians(self.sweep / 2)
        nearest = ((self.curvature + self.start_depth) * np.cos(theta) - self.curvature + self.pivot) * np.cos(phi)
        half_x = min((self.curvature + self.depth) * np.sin(theta), self.box[0] / 2)
        half_y = min((self.pivot + self.depth) * np.sin(phi), self.box[1] / 2)
        top = max(nearest - self.pivot, self.depth - self.box[2])
        return np.array([-half_x, -half_y, top]), np.array([half_x, half_y, self.depth])
