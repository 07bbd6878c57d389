"""Object tags as a second text of captioning: who sees whom, and the caches against the whole model."""

from functools import cache

import pytest
import torch
from torch import Tensor

from builders.tiny_captioners import KINDS, captioner, pictures
from unimo2 import Unimo2Model
from unimo2.errors import UsageError
from unimo2.modeling.fusion import Layout
from unimo2.modeling.generation import (
    LONGEST,
    BeamSettings,
    CachedDecoder,
    TagTokens,
    beam_search,
    generate,
    tag_tokens,
)
from unimo2.processing import train_tokenizer

END, FIRST_POSITION = 2, 2
TAGS = [[0, 7, 8, 9, 2], [0, 5, 2], [], [0, 21, 22, 23, 24, 25, 2]]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Unimo2Model:
    return captioner(request.param)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return pictures()


def together(rows: list[list[int]]) -> TagTokens:
    """Tags of several images, padded by more than is needed."""
    tags = TagTokens.of([*rows, [0] * 11], pad_id=1, longest=22)
    return TagTokens(tags.input_ids[:-1], tags.attention_mask[:-1])


def look(asks: int, asked: int, image: int, tags: int) -> bool:
    """The released mask as a table: rows are image and grounded tokens, tags, caption."""
    kinds = ["image" if i < image else "tag" if i < image + tags else "word" for i in (asks, asked)]
    if "word" in kinds[1]:
        return kinds[0] == "word" and asked <= asks
    return kinds[1] == "image" or kinds[0] in ("tag", "word")


@cache
def hiding(image: int, tags: int, rows: int) -> Tensor:
    """The table as an additive mask."""
    table = [[look(i, j, image, tags) for j in range(rows)] for i in range(rows)]
    return torch.zeros(rows, rows).masked_fill(~torch.tensor(table), float("-inf"))


@torch.no_grad()
def whole(model: Unimo2Model, pixels: Tensor, tags: list[int], words: list[int]) -> Tensor:
    """Logits after each word of one image's caption: no cache, no padding, dense masked attention."""
    ids = torch.tensor([tags + words])
    positions = [*range(len(tags)), *range(len(words))]
    embedded = model.text.roberta.embeddings(
        input_ids=ids, position_ids=torch.tensor([positions]) + FIRST_POSITION
    )
    text = model.text.roberta.encoder(
        embedded, hiding(0, len(tags), len(positions))[None, None]
    ).last_hidden_state
    vision = model.encode_image(pixels)
    grounded = None
    if model.dictionary is not None:
        grounded = model.ground(vision, None).tokens
    rows = [vision.shape[1], 0 if grounded is None else grounded.shape[1], text.shape[1]]
    bias = hiding(rows[0] + rows[1], len(tags), sum(rows))[None, None]
    fused = model.fusion(vision, grounded, text, Layout(*rows, bias=bias, dense=True))[2]
    return model.mlm_head(fused[0, len(tags) :])


class _Uncached:
    """Every row alone and anew at every step."""

    def __init__(self, model: Unimo2Model, pixels: Tensor, tags: list[list[int]]) -> None:
        self.model, self.pixels, self.tags = model, list(pixels[:, None]), tags
        self.texts: list[list[int]] = [[] for _ in tags]

    def step(self, tokens: Tensor) -> Tensor:
        self.texts = [[*text, t] for text, t in zip(self.texts, tokens.tolist(), strict=True)]
        beams = len(self.texts) // len(self.tags)
        return torch.stack(
            [
                whole(self.model, self.pixels[row // beams], self.tags[row // beams], text)[-1]
                for row, text in enumerate(self.texts)
            ]
        )

    def reorder(self, rows: Tensor) -> None:
        self.texts = [self.texts[row] for row in rows.tolist()]

    def keep(self, images: Tensor) -> None:
        self.pixels = [self.pixels[image] for image in images.tolist()]
        self.tags = [self.tags[image] for image in images.tolist()]


class _Both:
    """The cached decoder of the whole batch, compared with the other one at every step."""

    def __init__(self, model: Unimo2Model, pixels: Tensor, tags: list[list[int]]) -> None:
        self.cached = CachedDecoder(model, model.encode_image(pixels), together(tags))
        self.uncached = _Uncached(model, pixels, tags)
        self.left = [len(pixels)]

    def step(self, tokens: Tensor) -> Tensor:
        got, want = self.cached.step(tokens), self.uncached.step(tokens)
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
        return want

    def reorder(self, rows: Tensor) -> None:
        self.cached.reorder(rows)
        self.uncached.reorder(rows)

    def keep(self, images: Tensor) -> None:
        self.cached.keep(images)
        self.uncached.keep(images)
        self.left.append(len(images))


def test_cached_search_with_tags_equals_the_whole_model_at_every_step(model, pixels):
    """Truth: each image alone, unpadded, without caches, under a mask written as a table."""
    settings = BeamSettings(2, min_length=2, max_length=6, length_penalty=0.0)
    start = torch.zeros(len(pixels), dtype=torch.long)
    with torch.no_grad():
        model.mlm.bias[END] += 4.0
        both = _Both(model, pixels, TAGS)
        lockstep = beam_search(both, start, END, settings)
        alone = [
            generate(model, pixels[i : i + 1], settings, tags=TagTokens.of([row], 1, 22))[0]
            for i, row in enumerate(TAGS)
        ]
        model.mlm.bias[END] -= 4.0
    assert both.left[-1] < len(pixels)  # some images left the batch
    for found, expected in zip(lockstep, alone, strict=True):
        assert [h.tokens for h in found] == [h.tokens for h in expected]


def test_tags_change_what_is_said(model, pixels):
    """Truth: the logits of the first word with other tags, and with none."""
    vision, start = model.encode_image(pixels), torch.zeros(4, dtype=torch.long)
    with torch.inference_mode():
        plain, some, others = (
            CachedDecoder(model, vision, tags).step(start)
            for tags in (None, together(TAGS), together(TAGS[::-1]))
        )
    assert (some - plain).abs().amax(dim=1)[[0, 1, 3]].min() > 1e-2
    assert (some - others).abs().amax(dim=1).min() > 1e-2


@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16])
def test_an_image_without_tags_is_captioned_as_ever(model, pixels, number):
    """Truth: the decoder without tags; exactly where no image of the batch has any."""
    assert TagTokens.of([[], []], 1, 22) is None
    model.to(number)
    try:
        vision = model.encode_image(pixels.to(number))
        with torch.inference_mode():
            plain = CachedDecoder(model, vision).step(torch.zeros(4, dtype=torch.long))
            among = CachedDecoder(model, vision, together(TAGS)).step(
                torch.zeros(4, dtype=torch.long)
            )
    finally:
        model.to(torch.float32)
    assert torch.isfinite(among).all()
    close = 1e-4 if number == torch.float32 else 0.15
    assert (among[2] - plain[2]).abs().max() < close


def test_tags_are_tokenised_in_their_order_and_cut_at_the_end():
    """Truth: the words decoded again; 100 tokens, start and end included, or the model's positions."""
    tokenizer = train_tokenizer(["dog frisbee dining table person"], 300)
    rows = tag_tokens(tokenizer, [["dog", "dining table"], [], ["frisbee"] * 400], 514)
    assert tokenizer.decode(rows[0]) == "<s>dog dining table</s>"
    assert rows[1] == []
    assert len(rows[2]) == LONGEST == 100
    assert (rows[2][0], rows[2][-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert len(tag_tokens(tokenizer, [["frisbee"] * 400], 22)[0]) == 22
    assert tag_tokens(tokenizer, [[], []], 22) == [[], []]


def test_tags_and_captions_have_positions_of_their_own(model):
    """Truth: 22 positions, each text counted from the first; a longer one is refused."""
    ids = torch.zeros(1, 44, dtype=torch.long)
    places = torch.arange(22).repeat(2)[None] + FIRST_POSITION
    assert model.text(ids, None, places, causal=True, context=22).shape[:2] == (1, 44)
    with pytest.raises(UsageError, match="a text of 23 tokens"):
        model.text(ids[:, :33], None, places[:, :33], causal=True, context=10)
