"""Many volumes at once, on Dask: a study's poses, its tables and its overview, or a folder of simulated volumes.

`run` is the plot: list the inputs, run the jobs on a cluster, write the tables. A *job* (`jobs`) is one volume; a
*volume process* does jobs one after the other and keeps the network open; a Dask worker owns one and ends it when a
job takes too long or too much memory. What is done lies in the *study*, a folder, so that nothing is lost with a
process.

May import every room below but `benchmark`. `distributed` is imported by `cluster`, `dispatch` and `plugin` only,
`pyarrow` by `tables`, `PIL` by `thumbnail`. A new file here is one more kind of job, one more thing that is written
of a study, or one more part of how jobs run.
"""
