"""Finding a fetus and its landmarks: ``locate`` is pass 1, ``detector`` pass 2.

Imports ``network``, ``volume`` and ``body``. A new file here is one more way to look at a volume with trained networks.
"""
