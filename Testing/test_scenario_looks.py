"""Version 2 of the simulator: how bones, tissues, fluid and speckle look."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenario_subjects import BONY, FLUID
from scipy.ndimage import gaussian_filter

from FetalPoseLib.simulation.anatomy import head_shapes
from FetalPoseLib.simulation.clutter import Clutter, band_profile, displacement, lose_frames
from FetalPoseLib.simulation.datasets import (
    draw_subject,
    simulate,
)
from FetalPoseLib.simulation.looks import Looks
from FetalPoseLib.simulation.medium import build_medium
from FetalPoseLib.simulation.scenario import Scenario
from FetalPoseLib.simulation.splits import SPLITS
from FetalPoseLib.simulation.statistics import measure
from FetalPoseLib.simulation.ultrasound import acquire

# how it looks


def test_bones_ossify_and_vaults_have_gaps():
    subject = draw_subject("validation", 0)
    body, vault = subject.body, head_shapes(subject.body)[0]

    def bony(**looks):
        scenario = Scenario(looks=Looks(**looks))
        medium = build_medium(body, subject.sac, subject.probe, np.random.default_rng(2), scenario)
        rays = np.random.default_rng(0).normal(size=(400, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        rays = rays[rays[:, 2] > 0]
        surface = np.linspace(0.7, 1.05, 30)[:, None, None] * (rays * vault.radii) @ vault.rotation.T + vault.centre
        impedance = medium.sample(torch.as_tensor(surface, dtype=torch.float32))[2]
        shaft = body.bones["left_thigh"]
        middle = 0.5 * (shaft.start + shaft.end) + np.linspace(-1.5, 1.5, 25)[:, None] * shaft.rotation[:, 0]
        femur = medium.sample(torch.as_tensor(middle, dtype=torch.float32))[2].max()
        return float((impedance.amax(dim=0) > 1.9).float().mean()), float(femur)

    whole, femur = bony()
    assert whole > 0.85 and femur > BONY
    assert 0.3 < bony(vault_gaps=0.5)[0] / whole < 0.8
    assert bony(vault=0.0)[0] < 0.2 and bony(ossification=0.1)[1] < 1.95


def test_synthetic_tissues_do_not_follow_the_table():
    def levels(**looks):
        drawn = [Looks(**looks).tissues(np.random.default_rng(seed)) for seed in range(60)]
        return 20 * np.log10([[t["placenta"][0], t["soft"][0], t["bone"][0]] for t in drawn])

    usual, wild = levels(), levels(synthetic=True)
    assert (usual[:, 2] > usual[:, 1]).all() and usual.std(axis=0).max() < 3
    assert 0.2 < (wild[:, 2] > wild[:, 1]).mean() < 0.8 and wild.std(axis=0).min() > 6


def test_haze_fills_the_fluid():
    subject = draw_subject("validation", 1)
    medium = subject.medium()
    greys = []
    for haze in (-200.0, -25.0, -10.0):
        settings = replace(subject.settings, clutter=Clutter(haze=haze, haze_follows=0.3))
        volume = acquire(medium, subject.probe, settings, spacing=1.25, seed=1)
        z, y, x = np.nonzero(volume.array)
        world = volume.grid.to_world(np.stack([x, y, z], axis=1))
        fluid = (medium.sample(torch.as_tensor(world, dtype=torch.float32))[2] - FLUID).abs() < 0.003
        greys.append(np.median(volume.array[z, y, x][fluid.numpy()]))
    assert greys[0] < 25 and greys[0] + 10 < greys[1] < greys[2] - 25 and greys[2] > 60


def test_bands_lie_at_multiples_of_their_distance():
    depths = torch.arange(10.0, 60.0, 0.1)
    profile = band_profile(depths, Clutter(bands=3, band_level=-6.0, band_spacing=7.0))
    peaks = depths[1:-1][(profile[1:-1] > profile[:-2]) & (profile[1:-1] > profile[2:])]
    assert peaks.tolist() == pytest.approx([17, 24, 31], abs=0.15)
    assert profile.max() == pytest.approx(10 ** (-6 / 20), rel=0.01)


def test_motion_and_lost_frames():
    generator = torch.Generator().manual_seed(1)
    path = displacement(60, Clutter(motion=0.4), generator)
    assert path.mean(dim=0).abs().max() < 1e-5 and 0.1 < path.std() < 0.6
    assert path.diff(dim=0).norm(dim=1).max() < 0.4  # smooth
    envelope = torch.arange(40.0).expand(3, 40)[:, :, None].expand(3, 40, 2)
    shown = lose_frames(envelope, Clutter(missing=0.3), generator)[0, :, 0]
    lost = shown != torch.arange(40.0)
    assert 3 < lost.sum() < 22 and (shown <= torch.arange(40.0)).all() and shown[0] == 0
    assert (shown.diff() >= 0).all()


def test_compounding_and_reduction_smooth_speckle():
    subject = draw_subject("validation", 2)
    medium = subject.medium()

    def contrast(**change):
        settings = replace(subject.settings, smoothing=0.0, **change)
        return measure(acquire(medium, subject.probe, settings, spacing=0.5, seed=3).array, 0.5).contrast

    plain = contrast()
    assert contrast(looks=3) < 0.85 * plain and contrast(reduction=1.0, reduction_width=0.8) < 0.8 * plain


def test_statistics_measure_what_they_say():
    noise = np.random.default_rng(1).normal(size=(60, 60, 60))
    speckle = gaussian_filter(noise, (0.8, 1.6, 1.6))
    found = measure(100 + 20 * speckle / speckle.std(), 0.5)
    assert found.contrast == pytest.approx(0.2, abs=0.04)
    # the autocovariance of noise blurred by sigma falls to a half at 2 sigma sqrt(ln 2)
    assert found.half_widths == pytest.approx(2 * np.log(2) ** 0.5 * 0.5 * np.array([1.6, 1.6, 0.8]), rel=0.2)
    assert found.percentiles[2] == pytest.approx(100, abs=3)


@pytest.mark.slow
def test_simulated_statistics_cover_the_real_ones():
    """Real: local contrast 0.26 to 0.34 and, by this very measure, half-widths of 1.95, 1.96 and 0.76 to 1.0 mm; grey
    medians of 95 to 136 and lower quartiles of 17 to 88."""
    found = [measure(simulate("fresh2", index, spacing=0.5).volume.array, 0.5) for index in range(40)]
    contrast = np.array([f.contrast for f in found])
    assert np.nanmin(contrast) < 0.1 and np.nanpercentile(contrast, 92) > 0.26
    widths = np.array([f.half_widths for f in found])
    for axis, (low, high) in enumerate(((1.2, 1.6), (1.2, 1.8), (0.5, 0.95))):
        assert np.nanpercentile(widths[:, axis], 10) < low and np.nanpercentile(widths[:, axis], 92) > high
    greys = np.array([f.percentiles for f in found])
    assert np.percentile(greys[:, 2], 10) < 95 and np.percentile(greys[:, 2], 90) > 136
    assert np.percentile(greys[:, 1], 10) < 20 and np.percentile(greys[:, 1], 90) > 88


def test_splits_of_version_2_share_no_subject():
    words = [split.word for name, split in SPLITS.items() if not name.endswith("-standard")]
    assert len(set(words)) == len(words)
    assert {name for name, split in SPLITS.items() if split.absent} == {"absent2", "fresh-absent2"}
    with pytest.raises(ValueError, match="has subjects 0 to 51"):
        draw_subject("test2", 52)
