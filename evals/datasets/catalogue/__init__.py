"""The catalogue of data sets: every `DataSet` defined by a module here, without a central list."""
