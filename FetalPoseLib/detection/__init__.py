"""Detection: find the fetus in the volume and mark its landmarks.

`search` looks for the fetus's frame in every orientation where the first reading of the volume leaves a doubt. The room
may import body, volume and network; it knows nothing of refinement, of the estimator, or of anything above.
"""
