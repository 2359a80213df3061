"""Training of the landmark networks: pools of cases, samples, the loop, the paper's rivals, the file of weights.

``run.train(TrainingOptions)`` is the whole of it. May import every room below; nothing that estimates a pose imports
from here. A new file here is one more way to train, or a part of the loop.
"""
