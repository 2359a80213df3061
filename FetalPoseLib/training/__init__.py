"""Training of the landmark networks: case pools, sample drawing, the loop, and its command."""
