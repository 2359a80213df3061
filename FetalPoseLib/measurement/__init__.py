"""What is measured in a volume around a pose: crown and rump.

Imports ``volume`` and ``body``; numpy and scipy only, no torch, so that Slicer's own process can measure. A new file
here is one more thing that landmarks alone do not tell.
"""
