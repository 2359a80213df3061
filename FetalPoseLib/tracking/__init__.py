"""Volumes over time: follow a fetus from volume to volume, and join what was seen into one track.

`follower` looks at each volume from where the fetus was in the one before. `joining` turns what it saw into a `Track`:
`sides` decides left and right once for the whole sequence, `smoother` joins each landmark over time, `bones` can hold
the segments' lengths constant. `activity` says what moved when. Only `follower` imports torch.

May import `refinement`, `detection`, `volume`, `body` and `errors`. A new file here is one more way to join volumes,
or one more thing that a track tells.
"""
