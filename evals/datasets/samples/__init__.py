"""How the pictures of a data set are shown: one module each, with an object `SAMPLES`.

A module has the name of its data set; see `evals.datasets.sampling`.
"""
