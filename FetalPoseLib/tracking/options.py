"""The options of following and joining. Each default stands here, once; importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FollowOptions:
    """How a fetus is looked for in the next volume."""

    views: int = (
        2  #: ways to look in turn, so that readings err differently; 2: straight and mirrored; 1: straight only
    )
    mirror: bool = False  #: look at the mirror image of each volume, too; takes half as long again
    sure: float = 0.57  #: mean confidence below which pass 2 looks once more, in the frame of its own landmarks
    lost: float = 0.42  #: mean confidence below which the fetus is lost where it was before, and pass 1 looks for it
    located: float = 0.5  #: mean confidence from which what pass 1 found is the fetus
    certain: float = 0.57  #: mean confidence from which a search is good enough to begin with
    searches: int = 3  #: volumes that are searched at most to begin with; each takes up to some seconds
    size_memory: float = 0.8  #: share of the body's size that is kept from the volumes before


@dataclass(frozen=True)
class SmoothOptions:
    """How each landmark is joined over time."""

    measured_mm: float = 0.6  #: standard deviation, per axis, of a landmark read with full confidence
    unsure_power: float = 1.0  #: the deviation is that over the confidence to this power
    least_confidence: float = 0.08  #: below which a landmark was not measured in a volume
    jerk: float = 8.0  #: mm / s^1.5, density of the accelerations of a landmark at rest
    movement_freedom: float = 1.0  #: degrees of freedom of the accelerations: the fewer, the more sudden they may be
    measured_freedom: float = 2.0  #: degrees of freedom of the readings: the fewer, the less an outlier counts
    rounds: int = 6  #: of reweighting
    still_rate: float = 4.0  #: volumes a second that are assumed where no times are known
    bridge_mm: float = 2.5  #: standard deviation up to which a landmark counts as known where it was not measured


@dataclass(frozen=True)
class JoinOptions:
    """How what was seen becomes a track."""

    sides: bool = True  #: decide left and right once for the whole sequence
    smooth: SmoothOptions | None = SmoothOptions()  #: None: each volume stands alone
    bones: float | None = 0.5  #: mm by which a segment may differ from its length over the sequence; None: freely
    jump_mm: float = 6.0  #: distance from which a limb that changed sides is as far away as any other
    jump: float = 3.0  #: cost of a landmark that jumps so far from one volume to the next
    exchange: float = 0.125  #: cost per volume of a landmark with full confidence taken for that of the other side
