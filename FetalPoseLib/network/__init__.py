"""The network: U-Net, recurrent layer, heatmaps, losses, weights, quantisation, precision.

May import `volume`, `body`, `files`, `resources` and `errors`. A new file here is a part of a network or of its
weights' file.
"""
