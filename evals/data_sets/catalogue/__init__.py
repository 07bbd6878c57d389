"""One module a data set, each with a `DATA_SET`; `evals.data_sets.registry` finds them."""
