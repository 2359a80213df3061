"""All that is drawn for a subject of version 2 before its body, its mother and its picture are.

The default scenario is that of version 1: a fetus of 10 to 14 weeks with fluid all round it. A subject's scenario has
a random stream of its own, so that it can be drawn alone, at no cost: a training excludes a factor by it, and a
validation selects one (`factors`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.clutter import HAZE, Clutter
from FetalPoseLib.simulation.contact import Contact
from FetalPoseLib.simulation.contents import Contents
from FetalPoseLib.simulation.families import View
from FetalPoseLib.simulation.looks import Looks
from FetalPoseLib.simulation.posture import Posture

#: What may be scanned instead of a fetus of the first trimester.
ABSENT = ("empty sac", "no sac", "late head", "phantom", "head alone")
WEEKS = (9.3, 14.0)
SMALLEST_CRL = 25.0  # mm
#: Share of training subjects whose tissues and build are drawn beyond physics.
BEYOND_PHYSICS = 0.3


@dataclass(frozen=True)
class Factors:
    """What leave-one-factor-out experiments hold out, each by name.

    kind: "fetus" or one of `ABSENT`. family: convex, endocavitary or matrix. contact: floating, or the place of the
    first contact. build: usual or random. haze: clear, light or heavy. cut: none, limbs or much. spine: of the posture.
    """

    kind: str
    family: str
    contact: str
    build: str
    haze: str
    cut: str
    spine: str

    def match(self, **wanted: str) -> bool:
        """Whether every factor given has the value given; "touching" stands for any contact."""
        for name, value in wanted.items():
            own = getattr(self, name)
            if own != value and not (name == "contact" and value == "touching" and own != "floating"):
                return False
        return True


@dataclass(frozen=True)
class Scenario:
    """``kind`` is "fetus" or one of `ABSENT`; ``haze`` is a key of `HAZE`."""

    kind: str = "fetus"
    weeks: float | None = None
    posture: Posture = Posture()
    build: Build = Build()
    contact: Contact = Contact()
    contents: Contents = Contents()
    looks: Looks = Looks()
    view: View = View()
    haze: str = "clear"
    clutter: Clutter = Clutter()

    @classmethod
    def random(cls, rng: np.random.Generator, *, absent: bool = False, beyond_physics: float = BEYOND_PHYSICS):
        """A scenario of version 2.

        Parameters
        ----------
        absent : whether there is no fetus of the first trimester.
        beyond_physics : share of subjects whose tissues or build are drawn at random, whatever anatomy says.
        """
        weeks = rng.uniform(*WEEKS)
        wild = rng.random() < beyond_physics
        only = rng.random()  # of the wild ones, a third have both, a third only one of the two
        haze = str(rng.choice(list(HAZE), p=[0.25, 0.35, 0.4]))
        return cls(
            kind=str(rng.choice(ABSENT, p=[0.25, 0.2, 0.2, 0.15, 0.2])) if absent else "fetus",
            weeks=weeks,
            posture=Posture.random(rng, weeks),
            build=Build.random(rng, 0.22 if wild and only < 0.67 else 0.05),
            contact=Contact.random(rng),
            contents=Contents.random(rng),
            looks=Looks.random(rng, weeks, synthetic=wild and only > 0.33),
            view=View.random(rng),
            haze=haze,
            clutter=Clutter.random(rng, haze),
        )

    @property
    def factors(self) -> Factors:
        """The factors that a training may leave out, as words."""
        build = "usual" if abs(np.log(self.build.belly)) <= 0.05 and abs(np.log(self.build.face)) <= 0.05 else "random"
        return Factors(
            self.kind, self.view.family, self.contact.name, build, self.haze, self.view.cut, self.posture.spine
        )
