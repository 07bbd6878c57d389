"""Contents of each row of the grounded dictionary (paper, figure 3 and appendix A).

Who chooses it, which words and patches are nearest to it, and, where scene graphs are known, how much
alike its nearest patches are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evals.suite_mini.patches import ATTRIBUTES, NOTHING, patch_values
from evals.suite_mini.world import Scene
from unimo2.errors import IncompatibleModel
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage
from unimo2.modeling.grounding import GroundedDictionary
from unimo2.modeling.token_statistics import IMAGE, TEXT
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import ItemFeatures, StackedFeatures

_AT_ONCE = 64  # images in a call of the vision tower
_WORDS, _PATCHES = 5, 5  # that are named
_RAREST = 5  # times that a word must occur
_NEIGHBOURS = 50  # patches whose likeness is the purity


@dataclass(frozen=True)
class DictionaryRow:
    """One row of the dictionary.

    Attributes:
        row: Its number.
        images: Share of the images that choose it by themselves.
        texts: Share of the captions that do.
        both: Share of the true pairs of which image and caption both do.
        words: Tokens nearest to it, by the mean of token . row over their occurrences.
        patches: Nearest patches, as file name and number.
        purity: By attribute of the scene graph, the commonest value among the nearest patches that
            show a thing, and their share of it.
    """

    row: int
    images: float
    texts: float
    both: float
    words: tuple[str, ...]
    patches: tuple[tuple[str, int], ...]
    purity: Mapping[str, tuple[str, float]]


@dataclass(frozen=True)
class DictionaryRows:
    """All rows, the most used first, and what purity is for patches taken blindly.

    Attributes:
        rows: Every row of the dictionary.
        purity: By attribute, the mean share over rows that are chosen at all.
        chance: By attribute, the share of the commonest value among all patches that show a thing.
    """

    rows: tuple[DictionaryRow, ...]
    purity: Mapping[str, float]
    chance: Mapping[str, float]


def inspect(
    model: Unimo2Scorer, images: Sequence[KarpathyImage], scenes: Mapping[str, Scene] | None = None
) -> DictionaryRows:
    """Look at the dictionary of a model with the eyes of some images and their captions.

    Args:
        model: A scorer with a dictionary of which K rows are chosen.
        images: With captions.
        scenes: Scene graphs by file name; without them there is no purity.

    Returns:
        The rows.

    Raises:
        IncompatibleModel: The model has no such dictionary.
    """
    dictionary = dictionary_of(model)
    stack = encoded_images(model, images)
    said = [caption.text for image in images for caption in image.captions]
    owner = torch.tensor([row for row, image in enumerate(images) for _ in image.captions])
    features = model.encode_texts(said)
    table = dictionary.embedding.detach().float()  # [C, D]
    with torch.inference_mode():
        by_image = _chosen(dictionary.select(stack.tensors["scores"]), len(table))
        scores = torch.stack([text.tensors["scores"] for text in features])
        by_text = _chosen(dictionary.select(scores), len(table))
        both = (by_image[owner] & by_text).float().mean(dim=0)
        patches = (
            dictionary.view(stack.tensors["states"][:, 1:].float(), IMAGE) @ table.t()
        )  # [images, p, C]
        words = _nearest_words(model, said, features, table)
    near = patches.flatten(0, 1).topk(_PATCHES, dim=0).indices
    things, alike = _things(model, images, scenes, patches)
    rows = [
        DictionaryRow(
            row=row,
            images=float(by_image[:, row].float().mean()),
            texts=float(by_text[:, row].float().mean()),
            both=float(both[row]),
            words=words[row],
            patches=tuple(
                (images[number // patches.shape[1]].filename, number % patches.shape[1])
                for number in near[:, row].tolist()
            ),
            purity=_purity([things[number] for number in alike[:, row].tolist()] if things else []),
        )
        for row in range(len(table))
    ]
    used = [row for row in rows if row.images + row.texts > 0]
    return DictionaryRows(
        rows=tuple(sorted(rows, key=lambda row: -(row.images + row.texts))),
        purity={
            name: sum(row.purity[name][1] for row in used) / len(used)
            for name in (ATTRIBUTES if things and used else ())
        },
        chance={name: share for name, (_, share) in _purity(things).items()},
    )


def dictionary_of(model: Unimo2Scorer) -> GroundedDictionary:
    """The dictionary of a model of which K rows are chosen; IncompatibleModel without one."""
    dictionary = model.base.dictionary
    if dictionary is None or dictionary.nearest:
        raise IncompatibleModel(f"model '{model.name}' has no grounded dictionary")
    return dictionary


def encoded_images(model: Unimo2Scorer, images: Sequence[KarpathyImage]) -> StackedFeatures:
    """Features of all images, by calls of some."""
    encoded: list[ItemFeatures] = []
    for start in range(0, len(images), _AT_ONCE):
        encoded += model.encode_images([load_image(i.path) for i in images[start:][:_AT_ONCE]])
    return StackedFeatures.of(encoded)


def _things(
    model: Unimo2Scorer,
    images: Sequence[KarpathyImage],
    scenes: Mapping[str, Scene] | None,
    patches: Tensor,
) -> tuple[list[tuple[str, ...]], Tensor]:
    """Values of the patches that show a thing, and the nearest of them to each row.

    Args:
        model: Gives the patches' places.
        images: Whose patches they are.
        scenes: Scene graphs by file name, or None.
        patches: [images, p, C], similarities to the rows.

    Returns:
        The values, and [neighbours, C] indices among them; both empty without scenes.
    """
    values = _values(model, images, scenes)
    shown = torch.tensor([NOTHING not in value for value in values], dtype=torch.bool)
    things = [value for value in values if NOTHING not in value]
    if not things:
        return [], torch.empty(0, patches.shape[2], dtype=torch.long)
    nearest = patches.flatten(0, 1)[shown].topk(min(_NEIGHBOURS, len(things)), dim=0)
    return things, nearest.indices


def _chosen(indices: Tensor, rows: int) -> Tensor:
    """Mask of chosen rows, [items, K] to bool [items, C]."""
    return torch.zeros(len(indices), rows, dtype=torch.bool).scatter_(1, indices.cpu(), True)


def _nearest_words(
    model: Unimo2Scorer, texts: Sequence[str], features: Sequence[ItemFeatures], table: Tensor
) -> list[tuple[str, ...]]:
    """Tokens nearest to each row, by their mean over all occurrences."""
    ids = [torch.tensor(found[1:]) for found in model.tokens(texts)]  # as the dictionary reads them
    every = torch.cat(ids)
    assert model.base.dictionary is not None
    states = torch.cat([text.tensors["states"][1:].float() for text in features])
    states = model.base.dictionary.view(states, TEXT)
    known, place, count = every.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(known), len(table)).index_add_(0, place, (states @ table.t()).cpu())
    means = sums / count[:, None]
    special = torch.isin(known, torch.tensor(model.processor.tokenizer.all_special_ids))
    means[special | (count < min(_RAREST, int(count.max())))] = -torch.inf
    best = means.topk(min(_WORDS, len(known)), dim=0)
    return [
        tuple(
            str(model.processor.tokenizer.decode([int(known[number])])).strip()
            for number, value in zip(best.indices[:, row], best.values[:, row], strict=True)
            if value > -torch.inf
        )
        for row in range(len(table))
    ]


def _values(
    model: Unimo2Scorer, images: Sequence[KarpathyImage], scenes: Mapping[str, Scene] | None
) -> list[tuple[str, ...]]:
    """Content of every patch of every image; nothing without scenes."""
    if scenes is None:
        return []
    grid = model.base.config.patch_grid
    return [value for image in images for value in patch_values(scenes[image.filename], grid)]


def _purity(values: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, float]]:
    """The commonest value of each attribute and its share."""
    if not values:
        return {}
    columns = zip(ATTRIBUTES, zip(*values, strict=True), strict=True)
    found = {name: Counter(column).most_common(1)[0] for name, column in columns}
    return {name: (value, count / len(values)) for name, (value, count) in found.items()}
