"""Pre-training corpora: which samples a step sees, and how they become tensors.

The order of samples and all random numbers of a step are functions of (seed, step): a resumed run
sees the same samples without any stored position.

    reading.py   image-text pairs and labelled images from the official layouts
    pixels.py    decoding, and images held in memory
    pairs.py     images with captions (or with prompts made of labels)
    images.py    images alone, two views each
    augment.py   the views: crop, rotation, colour distortion
    texts.py     texts alone, in blocks
    order.py     who comes when
    mixing.py    the curriculum: what a step holds
"""

from unimo2.corpora.images import ImageCorpus
from unimo2.corpora.mixing import Corpora
from unimo2.corpora.pairs import PairCorpus
from unimo2.corpora.texts import TextCorpus

__all__ = ["Corpora", "ImageCorpus", "PairCorpus", "TextCorpus"]
