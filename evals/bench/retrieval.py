"""Speed of the retrieval protocol, against the released algorithm, dense fusion and matmuls.

Four ways to score the same pairs are timed in turn, in every dtype, beside plain matrix
products of the fusion layers' shapes. Models have random weights: speed does not depend on them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor

from evals.retrieval.shortlist import SUGGESTED, most_pairs
from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
from unimo2.bench.fusion import allowed, dense_masked, linear_shapes
from unimo2.bench.timing import Shape, flops, interleave, operations, products
from unimo2.modeling.fusion import GroundedLayer
from unimo2.modeling.model import Unimo2Output
from zoo.families.unimo2 import Unimo2Scorer, set_precision
from zoo.protocols import ItemFeatures, StackedFeatures

# Flickr30k's test split: what a protocol's cost is said for.
IMAGES, CAPTIONS = 1000, 5000
_FIRST_WORD_ID = 4  # the smaller ones are special tokens


@dataclass(frozen=True)
class Method:
    """One way to run the protocol over 1,000 images and 5,000 captions.

    Attributes:
        name: What it does.
        pairs_per_second: Pairs of the protocol (all 5,000,000) by the time that it takes, towers
            included.
        hours: That time.
        tower_gflop: 10^9 operations of the towers for a pair of the protocol, in the mean.
        fusion_gflop: The same of choosing grounded tokens and fusing.
        share: Share of the matmul rate, the operations a second that timed fusion reaches (of the
            released algorithm: towers and fusion); the median of the rounds' ratios.
        slower: Its time by that of this project's exhaustive protocol, the median of the rounds'.
    """

    name: str
    pairs_per_second: float
    hours: float
    tower_gflop: float
    fusion_gflop: float
    share: float
    slower: float


@dataclass(frozen=True)
class RetrievalSpeed:
    """Figures of one run.

    Attributes:
        dtype: Dtype of towers and fusion.
        pairs: Pairs that were timed each round.
        batch_size: Pairs in one call.
        image_ms: Milliseconds of the vision tower for an image, median.
        text_ms: Milliseconds of the text tower for a caption.
        pair_ms: Milliseconds of fusing a pair.
        matmul_tflops: 10^12 operations a second of plain products of the fusion layers' shapes.
        projection_mib: Memory that the first layer's projections of an image take.
        released_ratio: The whole protocol's time by the released algorithm in the first dtype
            of the run, by this project's exhaustive one in this format; the median of the rounds'.
        methods: This project's protocol first.
    """

    dtype: str
    pairs: int
    batch_size: int
    image_ms: float
    text_ms: float
    pair_ms: float
    matmul_tflops: float
    projection_mib: float
    released_ratio: float
    methods: tuple[Method, ...]


@dataclass
class Bench:
    """A model of random weights with random images and captions.

    Attributes:
        scorer: The adapter that `unimo2 eval` uses.
        pixels: `[images, 3, side, side]`.
        tokens: `[captions, text rows]`, token ids.
        stacks: The images' features, projections included.
        texts: The captions' features.
    """

    scorer: Unimo2Scorer
    pixels: Tensor
    tokens: Tensor
    stacks: list[StackedFeatures] = field(init=False)
    texts: list[ItemFeatures] = field(init=False)

    def __post_init__(self) -> None:
        """Run the towers once."""
        self.stacks = self.encode_images()
        self.texts = self.encode_texts()

    @classmethod
    def of(
        cls, config: Unimo2Config, images: int, captions: int, text: int, where: torch.device,
        dtype: torch.dtype, batch_size: int | None = None,
    ) -> Bench:  # fmt: skip
        """Draw a model and its inputs; the arguments are those of `measure`."""
        model = Unimo2Model(config).eval().requires_grad_(False).to(where)
        set_precision(model, dtype)
        # Nothing here is read from pictures or words: all that is asked of a processor is its size.
        processor = cast(Unimo2Processor, SimpleNamespace(image_size=config.image_size))
        scorer = Unimo2Scorer("random", model, processor, "0" * 64)
        scorer.batch_size = batch_size or scorer.batch_size
        generator = torch.Generator().manual_seed(0)
        side = config.image_size
        pixels = torch.randn(images, 3, side, side, generator=generator).to(where, dtype)
        shape = (captions, text)
        tokens = torch.randint(_FIRST_WORD_ID, config.vocab_size - 1, shape, generator=generator)
        return cls(scorer, pixels, tokens.to(where))

    def linear_shapes(self, text: int) -> list[Shape]:
        """Matrix products of a call's fusion layers, for captions of `text` rows."""
        config = cast(Unimo2Config, self.scorer.base.config)
        rows = config.patch_grid**2 + 1 + config.grounded_tokens + text
        pairs = min(self.scorer.batch_size, len(self.pixels))
        return list(linear_shapes(config, pairs * rows)) * config.fusion_layers

    def encode_images(self) -> list[StackedFeatures]:
        """The vision tower and what is prepared of each image."""
        parts = self.pixels.split(self.scorer.batch_size)
        stacks = [StackedFeatures.of(self.scorer.encode_pixels(part)) for part in parts]
        return self.scorer.prepare_images(stacks)

    def encode_texts(self) -> list[ItemFeatures]:
        """The text tower and what is prepared of each caption."""
        return self.scorer.encode_tokens(self.tokens.tolist())

    def score(self) -> list[Tensor]:
        """This project: fusion of every image with every caption, towers done."""
        return [
            torch.cat([self.scorer.score_pairs(stack, text)["itm"] for stack in self.stacks])
            for text in self.texts
        ]

    def score_gathered(self) -> list[Tensor]:
        """The same pairs, each caption's images gathered as those of a shortlist."""
        scorer, rows = self.scorer, list(range(len(self.pixels)))
        cuts = [rows[i : i + scorer.batch_size] for i in range(0, len(rows), scorer.batch_size)]
        return [
            torch.cat(
                [
                    scorer.score_pairs(StackedFeatures.gather(self.stacks, cut), text)["itm"]
                    for cut in cuts
                ]
            )
            for text in self.texts
        ]

    @torch.inference_mode()
    def score_released(self) -> list[Tensor]:
        """The released algorithm: both towers, grounding and all fused rows for every pair."""
        model, rows = self.scorer.base, []
        for caption in self.tokens:
            parts = []
            for pixels in self.pixels.split(self.scorer.batch_size):
                vision = model.encode_image(pixels)
                text = model.encode_text(caption.expand(len(pixels), -1))
                chosen = model.ground(vision, text, with_loss=False).indices
                out = model.fuse(vision, text, grounded_indices=chosen)
                parts.append(cast(Tensor, out.itm_logits)[:, 1].float())
            rows.append(torch.cat(parts))
        return rows

    @torch.inference_mode()
    def score_dense(self) -> list[Tensor]:
        """Towers done; fusion by dense attention with a boolean mask, all rows of every layer."""
        return [
            torch.cat([self._dense(stack, text) for stack in self.stacks]) for text in self.texts
        ]

    def _dense(self, stack: StackedFeatures, text: ItemFeatures) -> Tensor:
        model = self.scorer.base
        dictionary = model.dictionary
        if dictionary is None:
            raise ValueError("the benchmark compares grounded models")
        indices = dictionary.select(stack.tensors["scores"] + text.tensors["scores"])
        visual = stack.tensors["states"]
        words = text.tensors["states"].expand(len(visual), -1, -1)
        rows = (visual, dictionary.rows(indices), words)
        layout = model.fusion.make_layout(*rows, None)
        hidden, mask = model.fusion.join(*rows), allowed(layout, visual.device)
        for layer in model.fusion.layers:
            hidden = dense_masked(cast(GroundedLayer, layer), hidden, mask)
        out = Unimo2Output()
        model.fill_pooled_outputs(out, hidden[:, 0], hidden[:, layout.visual + layout.grounded])
        return cast(Tensor, out.itm_logits)[:, 1].float()


def measure(
    config: Unimo2Config,
    images: int,
    captions: int,
    text: int,
    dtypes: Sequence[torch.dtype],
    device: torch.device,
    repeats: int = 3,
    batch_size: int | None = None,
    shortlist: int = SUGGESTED,
) -> list[RetrievalSpeed]:
    """Time all ways in all dtypes, alternately.

    Args:
        config: Sizes of a grounded model.
        images: Images that are timed with every caption.
        captions: Captions.
        text: Text rows of each caption.
        dtypes: Dtypes of towers and fusion, at least one.
        device: Where it runs.
        repeats: Rounds.
        batch_size: Pairs in one call; the adapter's own choice if None.
        shortlist: K of `--rerank`.

    Returns:
        The figures per dtype.
    """
    benches = [Bench.of(config, images, captions, text, device, d, batch_size) for d in dtypes]
    shapes = [bench.linear_shapes(text) for bench in benches]
    calls: list[Callable[[], object]] = []
    for bench, dtype, own in zip(benches, dtypes, shapes, strict=True):
        calls += [
            bench.encode_images, bench.encode_texts, bench.score, bench.score_gathered,
            bench.score_dense, bench.score_released, products(own, dtype, device),
        ]  # fmt: skip
    with torch.inference_mode():
        times = torch.tensor(interleave(calls, device, repeats), dtype=torch.float64)
    pairs = images * captions
    per = torch.tensor([images, captions, pairs, pairs, pairs, pairs, 1], dtype=torch.float64)
    # [formats, 7, rounds]: seconds of an image, a caption, a pair ..., and of the products
    each = times.view(len(benches), len(per), repeats) / per[:, None]
    rates = [flops(own) / seconds for own, seconds in zip(shapes, each[:, 6], strict=True)]
    one = Bench.of(config, 1, 1, text, device, dtypes[0], batch_size)
    released = IMAGES * CAPTIONS * each[0, 5]
    return [
        RetrievalSpeed(
            dtype=str(dtypes[number]).removeprefix("torch."),
            pairs=pairs,
            batch_size=bench.scorer.batch_size,
            image_ms=1e3 * _median(each[number, 0]),
            text_ms=1e3 * _median(each[number, 1]),
            pair_ms=1e3 * _median(each[number, 2]),
            matmul_tflops=_median(rates[number]) / 1e12,
            projection_mib=_projection_mib(bench.stacks),
            released_ratio=_median(released / _exhaustive(each[number])),
            methods=_methods(one, each[number], rates[number], shortlist),
        )
        for number, bench in enumerate(benches)
    ]


def _exhaustive(each: Tensor) -> Tensor:
    """Seconds of this project's whole protocol, [rounds]: towers once, then every pair."""
    return IMAGES * each[0] + CAPTIONS * each[1] + IMAGES * CAPTIONS * each[2]


def _methods(one: Bench, each: Tensor, rate: Tensor, shortlist: int) -> tuple[Method, ...]:
    """Time of the official protocol by each method, from the timings."""
    towers = IMAGES * each[0] + CAPTIONS * each[1]  # [rounds], seconds
    everything = IMAGES * CAPTIONS
    chosen = most_pairs(IMAGES, CAPTIONS, shortlist)
    tower_flops = IMAGES * operations(one.encode_images) + CAPTIONS * operations(one.encode_texts)
    own, dense = operations(one.score), operations(one.score_dense)
    released = operations(one.score_released)
    in_pair = operations(partial(one.scorer.base.encode_image, one.pixels))
    in_pair += operations(partial(one.scorer.base.encode_text, one.tokens))
    ours = _exhaustive(each)
    # The shortlist is chosen by a first pass of the towers, and fused by a second one.
    found = [
        ("this project, exhaustive", ours, tower_flops, own * everything, own / each[2]),
        (
            f"this project, --rerank {shortlist}", 2 * towers + chosen * each[3],
            2 * tower_flops, own * chosen, own / each[3],
        ),
        (
            "dense masked fusion, towers once", towers + everything * each[4],
            tower_flops, dense * everything, dense / each[4],
        ),
        (
            "released algorithm, towers for every pair", everything * each[5],
            in_pair * everything, (released - in_pair) * everything, released / each[5],
        ),
    ]  # fmt: skip
    return tuple(
        Method(
            name=name,
            pairs_per_second=everything / _median(seconds),
            hours=_median(seconds) / 3600,
            tower_gflop=by_towers / everything / 1e9,
            fusion_gflop=by_fusion / everything / 1e9,
            share=_median(reached / rate),
            slower=_median(seconds / ours),
        )
        for name, seconds, by_towers, by_fusion, reached in found
    )


def _median(values: Tensor) -> float:
    return float(statistics.median(values.tolist()))


def _projection_mib(stacks: Sequence[StackedFeatures]) -> float:
    """Memory of an image's projections; 0 where they were left out."""
    projected = stacks[0].tensors.get("projected")
    return 0.0 if projected is None else float(projected[0].nbytes) / 2**20
