"""The work of a clinician in a browser's page: load, estimate, look, drag, correct, measure, export.

The page is a second front end on `FetalPoseLib.session`, beside the 3D Slicer module: rows, buttons, messages and undo
come from there. The views are Slicer's own, rendered here by trame-slicer and sent as pictures. `serve` starts it all;
`desk` holds scene, views and session; `front` brings what they say to the page and what a person does to them; `guard`,
`uploads` and `folder` decide who may come in, what is read from them, and what is kept on the disk.

This is the one package that imports trame. It may import `FetalPoseLib`'s `session`, `scene`, `worker`, `evaluation`,
`body.skeleton`, `refinement.options`, `reading.names`, `benchmark.report`, `files`, `resources` and `errors`. A new
file here is one more part of the page or of its server. `serve` and `options` can be imported without the extra `web`,
and say in a message what is not installed.
"""
