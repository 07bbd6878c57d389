"""Data sets: their sources and layouts, and checks of what is on disk.

`catalogue/` has one file per data set (GLUE's tasks share one, and so do plain texts): what it is,
its licence and source, its official counts, how it is checked, how samples are drawn, and its form
on the hub. The other modules are what all of them use.
"""
