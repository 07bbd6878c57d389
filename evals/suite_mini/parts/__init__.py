"""The data sets of the suite, one module each, with an object `PART` (see `evals.suite_mini.part`)."""
