"""Refinements of a detected pose: ``online_ssl`` is the paper's, ``consensus`` and ``pose_reader`` are ours.

Imports ``network``, ``volume`` and ``body``. A new file here is one refinement or a part of one; its options stand in
``options``.
"""
