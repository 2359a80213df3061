"""The network: U-Net, recurrent layer, heatmaps, losses, weights, quantisation, precision.

Imports ``body`` and ``volume``. A new file here is a part of a network or of its weights' file.
"""
