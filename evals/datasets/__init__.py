"""Which data sets there are, where they come from, how they must lie, and whether they do.

One module a data set in `evals.datasets.catalogue`, found by its being there.
"""
