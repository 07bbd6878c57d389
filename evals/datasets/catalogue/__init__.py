"""One module a data set, each with a `DATA_SET`; `evals.datasets.registry` finds them."""
