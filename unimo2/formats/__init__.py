"""Parsers of the official data files, each once; read by evals/ and by unimo2.data."""
