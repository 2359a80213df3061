"""Finding a fetus and its landmarks in a volume with trained networks.

``locate`` reads pass 1's heatmaps, ``search`` tries all orientations where the first reading leaves a doubt,
``detector`` holds the networks and looks at a volume with them. Imports ``network``, ``volume`` and ``body``. A new
file here is one more way to look at a volume.
"""
