"""What classes are called, and which column of a model is whose: "crane" is the name of two classes."""

import numpy as np
import pytest
import torch
from PIL import Image

from builders.item_fakes import Fake
from evals.benchmarks.imagenet import _Classifier
from evals.image_classification import zero_shot
from evals.runner import make_request
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.imagenet import Synset

CRANES = {"n02012849": "crane", "n03126707": "crane"}  # the bird's column is 134, the machine's 517
SYNSETS = [
    Synset("n01440764", ("tench", "Tinca tinca")),
    Synset("n02012849", ("crane",)),
    Synset("n03126707", ("crane",)),
    Synset("n04118538", ("rugby ball",)),
]


def test_clips_names_are_those_of_its_notebook():
    """Truth: names by hand, first and last; two of the thousand are called alike twice."""
    names = zero_shot.class_names(SYNSETS, "clip")
    assert names == ["tench", "crane bird", "construction crane", "rugby ball"]
    assert zero_shot.class_names(SYNSETS, "synset") == ["tench", "crane", "crane", "rugby ball"]
    every = [Synset(wnid, ("x",)) for wnid in zero_shot._clip_names()]
    assert [one.wnid for one in every] == sorted(one.wnid for one in every) and len(every) == 1000
    assert zero_shot.class_names(every, "clip")[-1] == "toilet paper"
    assert len(set(zero_shot.class_names(every, "clip"))) == 998
    with pytest.raises(UsageError, match="1 of the 1 here are others"):
        zero_shot.class_names([Synset("n00000001", ("x",))], "clip")


def test_clips_names_are_in_the_order_of_the_real_synsets(real_data):
    """Truth: ImageNet's own synset file; where the names agree they are of the same class."""
    from unimo2.formats.imagenet import read_synsets

    synsets = read_synsets(real_data / "imagenet" / "LOC_synset_mapping.txt")
    pairs = zip(synsets, zero_shot.class_names(synsets, "clip"), strict=True)
    agree = sum(name.lower() in map(str.lower, synset.names) for synset, name in pairs)
    assert agree > 700


def test_sentences_have_the_names_and_the_record_says_which():
    """Truth: the texts that a model is given; other names are refused before anything is read."""
    seen = []

    class Vectors(Fake):
        def embed_images(self, images):
            return torch.ones(len(images), 2)

        def embed_texts(self, texts):
            seen.extend(texts)
            return torch.ones(len(texts), 2)

    request = make_request("imagenet", "m", {"zero_shot": True, "class_names": "clip"})
    zero_shot.ClassScorer(Vectors(), SYNSETS, request).rank([Image.new("RGB", (2, 2))], [0])
    assert seen[1] == "a photo of crane bird"
    assert request.variant == "names-clip"
    assert zero_shot.protocol(Vectors(), request)["class_names"] == "clip"
    wrong = make_request("imagenet", "m", {"zero_shot": True, "class_names": "mine"})
    with pytest.raises(UsageError, match="there are synset, clip"):
        zero_shot.protocol(Vectors(), wrong)


class Words(Fake):
    """Names its columns by words."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.image_classes = names

    def classify_images(self, images):
        """The i-th column is likeliest for the i-th picture."""
        return torch.eye(len(self.image_classes))[: len(images)]


def best(*names):
    """The class that is likeliest by each column in turn."""
    images = [Image.new("RGB", (2, 2))] * len(names)
    ranking = _Classifier(Words(*names), SYNSETS).rank(images, [0] * len(names))
    return np.asarray(ranking.best).tolist()


def test_classes_of_one_name_have_columns_of_their_own():
    """Truth: by hand; ImageNet's standard order is that of synset ids."""
    assert best("tench, Tinca tinca", "crane", "crane", "rugby ball") == [0, 1, 2, 3]
    assert best("n01440764", "n03126707", "n02012849", "rugby ball") == [0, 2, 1, 3]


@pytest.mark.parametrize(
    "names",
    [
        ("crane", "crane", "tench, Tinca tinca", "rugby ball"),
        ("tench, Tinca tinca", "crane", "rugby ball"),
        ("tench, Tinca tinca", "crane", "crane", "crane", "rugby ball"),
    ],
)
def test_columns_of_one_name_that_cannot_be_told_apart_are_refused(names):
    """Truth: another order, one column for two classes, three for two."""
    with pytest.raises(IncompatibleModel, match="several columns called 'crane'"):
        best(*names)
