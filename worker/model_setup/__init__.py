"""Makes the model folders that engines load, from weights that a package registry delivers.

Owns everything that happens once per machine: finding the weights, reading them safely, building and
optimising the graph. Never imported by a worker that runs jobs.
"""
