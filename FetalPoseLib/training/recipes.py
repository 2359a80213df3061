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
    own: float = 0.0  #: share of the samples from a person's own volumes, however few; 0: every case is as likely
    patience: int = 0  #: validations in a row without a lower error, after which the training ends; 0: it does not
    gain: float = 0.0  #: share by which the error on validation must fall before the weights to begin with are given up
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

#: Of a training that goes on from a model with 4 to 40 volumes of a person's own: a fifth of the rate, and half of the
#: samples simulated against forgetting. `docs/decisions/0013-adapting.md` says why.
ADAPTED = replace(SHIPPED, learning_rate=2e-4, warmup=50, averaging=0.99, clip=0.2, own=0.5, patience=5, gain=0.03)

#: Of the methods that the benchmark compares: the paper's, and what lets it leave zero within an epoch. Plain L2 had
#: learnt nothing after 300 steps, when the weighted one knew the midline; gradients over 0.2 are five times the usual.
COMPARED = Recipe(foreground=60.0, warmup=200, averaging=0.998, bfloat16=True, clip=0.2)

RECIPES = {"paper": Recipe(), "shipped": SHIPPED, "continued": CONTINUED, "adapted": ADAPTED, "compared": COMPARED}
