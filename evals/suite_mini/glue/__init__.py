"""The GLUE tasks over the mini world, in GLUE's own files.

part         what the four tasks have in common: jobs, splits, files
baselines    floors: bags of words
sentiment    SST-2: what a sentence thinks of a picture
grammar, faults   CoLA: sentences word by word, and what can be wrong with them
claims, entailment, retelling   MNLI: what follows from a description
likeness     STS-B: how much two descriptions share
"""
