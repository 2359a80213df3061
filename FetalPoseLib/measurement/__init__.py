"""What is measured in a volume around a pose: crown and rump, and how the head is turned.

May import `volume`, `body` and `errors`; numpy and scipy only, no torch, so that Slicer's own process can measure. A
new file here is one more thing that landmarks alone do not tell.
"""
