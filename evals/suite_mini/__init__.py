"""The embedded suite: a drawn world, written to disk in the formats of the real data sets.

dice         random choices that are the same everywhere
world        scenes: what there is, how one is drawn, which split it belongs to
shapes, backgrounds, render      scenes to pixels
lexicon, speaker, language       scenes to sentences, by five annotators
meaning      what a sentence says, and whether it is true of a scene
ideal        the ceiling of a retrieval test
pictures     pictures on disk
captioned    Karpathy's layouts (Flickr30k, COCO): which pictures there are, and their captions
part, parts  what a data set of the suite is, and one module for each
classes, rare_shapes, portraits  labelled images: their classes, and pictures of one main thing
colour_reader                    the floor of image classification
prose        running text about scenes, and general English
glue         the GLUE tasks: sentences, labels, floors
workers      jobs spread over processes
suite        the data root as a whole
"""

from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.suite import (
    SUITE_FILE,
    VERSION,
    all_parts,
    default_root,
    make_suite,
    read_suite,
)

__all__ = [
    "SUITE_FILE",
    "VERSION",
    "SuiteRequest",
    "all_parts",
    "default_root",
    "make_suite",
    "read_suite",
]
