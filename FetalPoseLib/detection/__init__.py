"""Finding a fetus and its landmarks in a volume with trained networks.

``locate`` reads pass 1's heatmaps, ``search`` tries all orientations where the first reading leaves a doubt,
``detector`` holds the networks and views a volume with them.

May import `network`, `volume`, `body` and `errors`. A new file here is one more way to view a volume.
"""
