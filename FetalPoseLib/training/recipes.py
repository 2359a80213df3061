"""How a network learns: the paper's recipe, and what was found better at the same cost. Importing it needs no torch.

The paper's (section 3) is the default of the fields: Adam with beta1 0.5, learning rate 1e-3, batch size 1, plain L2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """Steps, rates and the loss of a training."""

    steps: int = 16000  #: of batch size 1
    learning_rate: float = 1e-3
    beta1: float = 0.5  #: of Adam
    foreground: float = 0.0  #: weighs a voxel by 1 + foreground x target; 0: the paper's L2
    warmup: int = 0  #: steps over which the learning rate rises
    decay: float = 0.0  #: share of all steps, the last ones, over which the learning rate falls linearly to 0
    averaging: float = 0.0  #: decay per step of the running mean of the weights that is kept as the model; 0: none
    bfloat16: bool = False  #: compute convolutions in half precision
    clip: float = 0.0  #: the longest gradient that is taken as it is; 0: any
    seed: int = 1  #: of weights and augmentation

    def rate(self, step: int) -> float:
        """Learning rate at ``step``, counted from 0."""
        start = self.steps * (1 - self.decay)
        fall = 1.0 if step < start else max(0.0, (self.steps - step) / max(self.steps - start, 1))
        return self.learning_rate * min(1.0, (step + 1) / max(self.warmup, 1)) * fall


#: The recipe of the bundled fetal-frame.
SHIPPED = Recipe(beta1=0.9, foreground=60.0, warmup=200, decay=0.35, averaging=0.998, bfloat16=True)

#: Of a training that starts from trained weights: half the rate, so that what was learnt before is not lost at once.
CONTINUED = replace(SHIPPED, learning_rate=5e-4, clip=0.2)

#: Of the methods that the benchmark compares: the paper's, and what lets it leave zero within an epoch. Plain L2 had
#: learnt nothing after 300 steps, when the weighted one knew the midline; gradients over 0.2 are five times the usual.
COMPARED = Recipe(foreground=60.0, warmup=200, averaging=0.998, bfloat16=True, clip=0.2)

RECIPES = {"paper": Recipe(), "shipped": SHIPPED, "continued": CONTINUED, "compared": COMPARED}
