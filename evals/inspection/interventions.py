"""Does the choice of dictionary rows matter? Matching with the pair's own rows, and with others.

Every caption is matched with its own image and with the images that the contrastive score ranks
closest. R@1 among those is measured with the rows that the pair chooses (equation 2), and with rows
chosen in other ways. So is the loss of masked tokens, which resolves small differences, beside the
loss with a different image, which bounds what the image contributes. Where random rows do as well,
the grounded tokens only pass messages and their content carries no information: no ablation of K, C
or the dictionary can then show anything through matching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evals.inspection.dictionary_rows import dictionary_of, encoded_images
from evals.metrics.bootstrap import grouping, interval, resampled_sums
from evals.metrics.ranking import Floats
from unimo2.console import Progress, Report
from unimo2.data.masking import MaskedText, MaskingSpec, mask_spans
from unimo2.errors import UsageError
from unimo2.formats.karpathy import KarpathyImage
from unimo2.modeling.padding import IGNORED
from unimo2.modeling.token_statistics import TEXT
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import ItemFeatures, StackedFeatures

WAYS = {
    "pair": "chosen by the pair",
    "image": "by the image alone",
    "text": "by the text alone",
    "fixed": "the same for all pairs",
    "other": "by another pair",
    "random": "drawn at random",
    "worst": "those that fit least",
}
"""Ways to choose rows: keys and display names."""

_WRONG_IMAGE = "wrong image"


@dataclass(frozen=True)
class Intervention:
    """Matching with rows that were chosen in one way.

    Attributes:
        way: A key of `WAYS`.
        recall: Captions whose own image has the highest logit, in percent.
        loss: What is lost against "pair", in points.
        ci95: Its interval, paired over captions; captions of one image are drawn together.
        correlation: Correlation of the logits with those of "pair".
        words_loss: Extra loss per masked token of a caption over "pair", in nats.
        words_ci95: Its interval, likewise.
    """

    way: str
    recall: float
    loss: float
    ci95: tuple[float, float]
    correlation: float
    words_loss: float
    words_ci95: tuple[float, float]


@dataclass(frozen=True)
class Interventions:
    """The table, and what it was measured on.

    Attributes:
        rows: One a way.
        words: Loss per masked token with the rows of "pair", in nats.
        wrong_image: What it costs more with the image of another caption, and its interval.
    """

    rows: tuple[Intervention, ...]
    words: float
    wrong_image: tuple[float, tuple[float, float]]
    images: int
    captions: int
    candidates: int


def measure(
    model: Unimo2Scorer,
    images: Sequence[KarpathyImage],
    report: Report,
    candidates: int = 8,
    seed: int = 0,
) -> Interventions:
    """Match every caption with its image and the nearest others, with rows of each way.

    Args:
        model: A scorer with a dictionary of which K rows are chosen.
        images: A split with its captions.
        report: Called as the work progresses.
        candidates: Images that a caption is matched with, its own among them.
        seed: Seed for random rows and of resampling.

    Returns:
        The table.

    Raises:
        IncompatibleModel: The model has no such dictionary.
        UsageError: Fewer images than candidates.
    """
    select = dictionary_of(model).select
    if not 2 <= candidates <= len(images):
        raise UsageError(
            f"{candidates} candidates of {len(images)} images: 2 at least, all at most"
        )
    stack = encoded_images(model, images)
    texts = [(row, caption.text) for row, image in enumerate(images) for caption in image.captions]
    features = model.encode_texts([text for _, text in texts])
    choice = _Choice(select, stack, features, seed)
    logits: dict[str, list[Tensor]] = {way: [] for way in WAYS}
    words: dict[str, list[float]] = {way: [] for way in (*WAYS, _WRONG_IMAGE)}
    hide = _Hiding(model, max(len(text.tensors["states"]) for text in features), seed)
    for number, ((own, caption), text) in enumerate(zip(texts, features, strict=True)):
        near = _candidates(model.contrastive_scores(stack, text), own, candidates)
        chosen = choice(near, text.tensors["scores"])
        for way, found in _match(model, stack, text, near, chosen).items():
            logits[way].append(found)
        for way, lost in _hidden_words(model, stack, own, hide(caption), choice).items():
            words[way].append(lost)
        report(Progress("captions", number + 1, len(texts), None))
    group = grouping([row for row, _ in texts])
    matched = {way: torch.stack(found).cpu().numpy() for way, found in logits.items()}
    hidden = {way: np.array(found) for way, found in words.items()}
    worse = {
        way: _mean_with_interval(found - hidden["pair"], group, seed)
        for way, found in hidden.items()
    }
    rows = [
        _row(way, found, matched["pair"], worse[way], group, seed) for way, found in matched.items()
    ]
    return Interventions(
        rows=tuple(rows),
        words=float(hidden["pair"].mean()),
        wrong_image=worse[_WRONG_IMAGE],
        images=len(images),
        captions=len(texts),
        candidates=candidates,
    )


def _candidates(scores: Tensor, own: int, count: int) -> Tensor:
    """The own image, then those with the highest contrastive scores, int64 [count]."""
    others = scores.clone()
    others[own] = -torch.inf
    return torch.cat([torch.tensor([own], device=scores.device), others.topk(count - 1).indices])


class _Choice:
    """Dictionary rows of a text and some images, in every way."""

    def __init__(
        self,
        select: Callable[[Tensor], Tensor],
        images: StackedFeatures,
        texts: Sequence[ItemFeatures],
        seed: int,
    ) -> None:
        self._select = select
        self._images = images.tensors["scores"]  # [images, C]
        self._texts = torch.stack([text.tensors["scores"] for text in texts])  # [captions, C]
        self._fixed = self._images.mean(dim=0) + self._texts.mean(dim=0)
        self._dice = torch.Generator().manual_seed(seed)

    def __call__(self, near: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Rows [candidates, K] by way, of images and the scores of one text, [C]."""
        images, text = self._images[near], text.expand(len(near), -1)
        noise = torch.rand(images.shape, generator=self._dice).to(images)
        strangers = torch.randint(len(self._images), (len(near),), generator=self._dice)
        speakers = torch.randint(len(self._texts), (len(near),), generator=self._dice)
        scores = {
            "pair": images + text,
            "image": images,
            "text": text,
            "fixed": self._fixed.expand(len(near), -1),
            "other": self._images[strangers] + self._texts[speakers],
            "random": noise,
            "worst": -(images + text),
        }
        return {way: self._select(found) for way, found in scores.items()}


def _match(
    model: Unimo2Scorer,
    images: StackedFeatures,
    text: ItemFeatures,
    near: Tensor,
    rows: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Match minus non-match logit of the matching head, [candidates] by way."""
    count = len(near)
    with torch.inference_mode():
        vision = images.tensors["states"][near].repeat(len(rows), 1, 1)
        words = text.tensors["states"].expand(len(vision), -1, -1)
        chosen = torch.cat(list(rows.values()))
        out = model.base.fuse(vision, words, pooled_only=True, grounded_indices=chosen)
    assert out.itm_logits is not None  # image and text were given
    # Of a head that did not start antisymmetric the difference alone is trained.
    difference = (out.itm_logits[:, 1] - out.itm_logits[:, 0]).float()
    return dict(zip(rows, difference.split(count), strict=True))


class _Hiding:
    """Captions with masked tokens, the same ones for every model of a tokenizer."""

    def __init__(self, model: Unimo2Scorer, longest: int, seed: int) -> None:
        tokenizer = model.processor.tokenizer
        self._spec = MaskingSpec(
            mask_id=tokenizer.mask_token_id,
            special_ids=tuple(sorted(set(tokenizer.all_special_ids))),
            vocab_size=len(tokenizer),
            max_length=longest,
        )
        self._model, self._dice = model, torch.Generator().manual_seed(seed)

    def __call__(self, caption: str) -> MaskedText:
        ids = torch.tensor(self._model.tokens([caption]))
        return mask_spans(ids, self._spec.draw(1, self._dice), self._spec)


def _hidden_words(
    model: Unimo2Scorer, images: StackedFeatures, own: int, hidden: MaskedText, choice: _Choice
) -> dict[str, float]:
    """Cross entropy of a caption's masked tokens by way, and with the next image."""
    device = model.base.device
    other = (own + 1) % len(images)
    with torch.inference_mode():
        states = model.words(hidden.input_ids.to(device))  # [1, tokens, D]
        scores = model.dictionary_part(states, TEXT)["scores"][0]
        rows = {way: found[0] for way, found in choice(torch.tensor([own]), scores).items()}
        rows[_WRONG_IMAGE] = choice(torch.tensor([other]), scores)["pair"][0]
        shown = torch.tensor([other if way == _WRONG_IMAGE else own for way in rows])
        vision = images.tensors["states"][shown.to(device)]
        words = states.expand(len(rows), -1, -1)
        out = model.base.fuse(vision, words, grounded_indices=torch.stack(list(rows.values())))
        assert out.fused_text is not None  # a text was given
        wanted = (hidden.labels[0] != IGNORED).to(device)
        logits = model.base.mlm_head(out.fused_text[:, wanted]).float()  # [ways, words, vocabulary]
        labels = hidden.labels[0].to(device)[wanted].expand(len(rows), -1)
        lost = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return dict(zip(rows, lost.mean(dim=1).tolist(), strict=True))


def _mean_with_interval(
    values: Floats, group: np.ndarray, seed: int
) -> tuple[float, tuple[float, float]]:
    """A mean over items, [items], and its interval; items of a group are drawn together."""
    sums = resampled_sums(np.stack([values, np.ones_like(values)], axis=1), group, seed)
    mean = float(values.mean())
    return mean, interval(sums[:, 0] / sums[:, 1], mean)


def _row(
    way: str,
    logits: Floats,
    chosen: Floats,
    words: tuple[float, tuple[float, float]],
    group: np.ndarray,
    seed: int,
) -> Intervention:
    """A line of the table; logits [captions, candidates], the own image first."""
    hits = logits.argmax(axis=1) == 0
    lost = 100.0 * ((chosen.argmax(axis=1) == 0).astype(np.float64) - hits)
    loss, ends = _mean_with_interval(lost, group, seed)
    return Intervention(
        way=way,
        recall=100.0 * float(hits.mean()),
        loss=loss,
        ci95=ends,
        correlation=float(np.corrcoef(logits.ravel(), chosen.ravel())[0, 1]),
        words_loss=words[0],
        words_ci95=words[1],
    )
