"""The data sets, by the file: every `DataSet` that a module here defines is one; there is no list."""
