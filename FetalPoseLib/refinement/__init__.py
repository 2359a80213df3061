"""Refinements of a detected pose: ``online_ssl`` is the paper's; ``consensus`` is ours, with ``pose_reader``, which
weighs peaks by ``length_prior`` and chooses among them by ``tree_choice``. ``options`` describes them all.

May import `detection`, `network`, `volume`, `body` and `errors`. A new file here is one refinement or a part of one.
"""
