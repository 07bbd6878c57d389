"""Captioning: the search against enumeration, the caches against the whole model run again."""

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from builders.tiny_captioners import KINDS, captioner, pictures
from unimo2 import Unimo2Model
from unimo2.errors import UsageError
from unimo2.modeling.generation import (
    BeamSettings,
    CachedDecoder,
    Hypothesis,
    beam_search,
    generate,
    repeats_trigram,
)

END = 2


class _UncachedDecoder:
    """The whole model over the whole text at every step; what was said is all that it keeps."""

    def __init__(self, model: Unimo2Model, pixels: Tensor) -> None:
        self.model, self.pixels = model, pixels
        self.texts = torch.zeros(len(pixels), 0, dtype=torch.long)

    def step(self, tokens: Tensor) -> Tensor:
        self.texts = torch.cat([self.texts, tokens[:, None]], dim=1)
        beams = len(self.texts) // len(self.pixels)
        pixels = self.pixels.repeat_interleave(beams, dim=0)
        return self.model(pixels, self.texts, causal=True).lm_logits[:, -1]

    def reorder(self, rows: Tensor) -> None:
        self.texts = self.texts[rows]

    def keep(self, images: Tensor) -> None:
        self.pixels = self.pixels[images]


class _BothDecoders:
    """The cached decoder, compared with the uncached one at every step."""

    def __init__(self, model: Unimo2Model, pixels: Tensor) -> None:
        self.cached = CachedDecoder(model, model.encode_image(pixels))
        self.uncached = _UncachedDecoder(model, pixels)
        self.steps, self.images_left = 0, [len(pixels)]

    def step(self, tokens: Tensor) -> Tensor:
        got, want = self.cached.step(tokens), self.uncached.step(tokens)
        # Other kernels for one row than for many: float32 rounding of the logits, seen up to 1.1e-5.
        torch.testing.assert_close(got, want, atol=3e-5, rtol=1e-5)
        self.steps += 1
        return want

    def reorder(self, rows: Tensor) -> None:
        self.cached.reorder(rows)
        self.uncached.reorder(rows)

    def keep(self, images: Tensor) -> None:
        self.cached.keep(images)
        self.uncached.keep(images)
        self.images_left.append(len(images))


class _TableDecoder:
    """A language model that is a function of the text: next-token logits looked up."""

    def __init__(self, table: Callable[[tuple[int, ...]], Tensor], images: int = 1) -> None:
        self.table, self.texts = table, [()] * images

    def step(self, tokens: Tensor) -> Tensor:
        self.texts = [
            (*text, token) for text, token in zip(self.texts, tokens.tolist(), strict=True)
        ]
        return torch.stack([self.table(text) for text in self.texts])

    def reorder(self, rows: Tensor) -> None:
        self.texts = [self.texts[row] for row in rows.tolist()]

    def keep(self, images: Tensor) -> None:
        pass


def random_table(vocabulary: int, seed: int) -> Callable[[tuple[int, ...]], Tensor]:
    """Logits that depend on the whole text, the same at every call."""
    known: dict[tuple[int, ...], Tensor] = {}
    generator = torch.Generator().manual_seed(seed)

    def table(text: tuple[int, ...]) -> Tensor:
        if text not in known:
            known[text] = 2 * torch.randn(vocabulary, generator=generator, dtype=torch.float64)
        return known[text]

    return table


def enumerate_texts(
    table: Callable[[tuple[int, ...]], Tensor], vocabulary: int, settings: BeamSettings
) -> list[Hypothesis]:
    """Every text there can be, with its score, by the definition; best first."""
    found = []
    words = [token for token in range(vocabulary) if token != END]
    lengths = range(settings.min_length, settings.max_length)
    ended = [(*text, END) for n in lengths for text in itertools.product(words, repeat=n)]
    cut = list(itertools.product(words, repeat=settings.max_length))
    for text in (*ended, *cut):
        total, said = 0.0, (0,)
        for length, token in enumerate(text, 1):
            logits = table(said).tolist()
            if length <= settings.min_length:
                logits[END] = -math.inf
            total += logits[token] - math.log(sum(math.exp(logit) for logit in logits))
            said = (*said, token)
            if settings.block_trigrams and token_trigram_repeats(said):
                total -= 65000
        score = total / ((5 + len(text)) / 6) ** settings.length_penalty
        tokens = text[:-1] if text[-1] == END else text
        found.append(Hypothesis(tokens, score, text[-1] == END))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def token_trigram_repeats(tokens: Sequence[int]) -> bool:
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return bool(trigrams) and trigrams[-1] in trigrams[:-1]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Unimo2Model:
    return captioner(request.param)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return pictures()


@pytest.mark.parametrize("beam_size", [1, 4])
def test_cached_search_equals_uncached_step_by_step(
    model: Unimo2Model, pixels: Tensor, beam_size: int
) -> None:
    """Truth: `Unimo2Model.forward` over the whole text at every step, its logits and its search."""
    settings = BeamSettings(beam_size, min_length=3, max_length=14)
    both = _BothDecoders(model, pixels)
    start = torch.zeros(len(pixels), dtype=torch.long)
    with torch.no_grad():
        lockstep = beam_search(both, start, END, settings)
        uncached = beam_search(_UncachedDecoder(model, pixels), start, END, settings)
    cached = generate(model, pixels, settings)
    assert both.steps > 3
    for image in range(len(pixels)):
        assert lockstep[image] == uncached[image]
        assert [h.tokens for h in cached[image]] == [h.tokens for h in uncached[image]]
        scores = torch.tensor([[h.score for h in found[image]] for found in (cached, uncached)])
        torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)


def test_images_that_end_early_leave_the_batch(model: Unimo2Model, pixels: Tensor) -> None:
    """Truth: each image captioned alone, with an end token likely enough that some end early."""
    settings = BeamSettings(3, min_length=1, max_length=16, length_penalty=0.0)
    start = torch.zeros(len(pixels), dtype=torch.long)
    fewest = len(pixels)
    for bias in (2.0, 4.0, 6.0, 8.0):
        biased = replace_end_bias(model, bias)
        both = _BothDecoders(biased, pixels)
        with torch.no_grad():
            together = beam_search(both, start, END, settings)
        for image, found in enumerate(together):
            alone = generate(biased, pixels[image : image + 1], settings)[0]
            assert [h.tokens for h in found] == [h.tokens for h in alone]
        fewest = min(fewest, both.images_left[-1])
    assert fewest < len(pixels)


def replace_end_bias(model: Unimo2Model, bias: float) -> Unimo2Model:
    """The same model with a more likely end token."""
    biased = Unimo2Model(model.config).eval()
    biased.load_state_dict(model.state_dict())
    with torch.no_grad():
        biased.mlm.bias[END] += bias
    return biased


def test_leaving_images_change_nothing_for_the_others() -> None:
    """Truth: greedy choices, made by hand, of four language models that end at different lengths."""
    vocabulary = 4
    settings = BeamSettings(1, min_length=0, max_length=4)
    tables = [random_table(vocabulary, seed) for seed in range(4)]

    class _Several(_TableDecoder):
        kept: list[int] = []

        def __init__(self) -> None:
            super().__init__(tables[0], images=4)
            self.image_tables = list(tables)

        def step(self, tokens: Tensor) -> Tensor:
            super().step(tokens)
            beams = len(self.texts) // len(self.image_tables)
            rows = []
            for row, text in enumerate(self.texts):
                image = row // beams
                logits = self.image_tables[image](text).clone()
                # The first model ends at once, the second after a word, ...
                if len(text) > tables.index(self.image_tables[image]):
                    logits[END] += 1000
                rows.append(logits)
            return torch.stack(rows)

        def keep(self, images: Tensor) -> None:
            self.image_tables = [self.image_tables[image] for image in images.tolist()]
            self.kept.append(len(images))

    found = beam_search(_Several(), torch.zeros(4, dtype=torch.long), END, settings)
    assert _Several.kept == [3, 2, 1]
    assert [len(hypotheses[0].tokens) for hypotheses in found] == [0, 1, 2, 3]
    for table, hypotheses in zip(tables, found, strict=True):
        text: tuple[int, ...] = (0,)
        for token in hypotheses[0].tokens:
            assert token == table(text).argmax()
            text = (*text, token)


@pytest.mark.parametrize("trigrams", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (2, 4), (3, 6)])
def test_search_with_every_beam_is_enumeration(
    trigrams: bool, penalty: float, shortest: int, longest: int
) -> None:
    """Truth: every text scored by the definition, in order; not a beam is lost."""
    vocabulary = 4
    settings = BeamSettings(2000, shortest, longest, penalty, trigrams)
    table = random_table(vocabulary, seed=longest)
    want = enumerate_texts(table, vocabulary, settings)
    decoder = _TableDecoder(table)
    got = beam_search(decoder, torch.zeros(1, dtype=torch.long), END, settings)[0]
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-5, abs=1e-4)
    by_tokens = {(h.tokens, h.ended): h.score for h in want}
    for one in got:
        assert by_tokens[one.tokens, one.ended] == pytest.approx(one.score, rel=1e-5, abs=1e-4)


def narrow_search(
    table: Callable[[tuple[int, ...]], Tensor], vocabulary: int, settings: BeamSettings
) -> list[tuple[tuple[int, ...], float]]:
    """The released rules, one beam and one token at a time, in plain Python."""
    beams: list[tuple[tuple[int, ...], float, float]] = [((0,), 0.0, 0.0)]
    for length in range(1, settings.max_length + 1):
        pool = []
        for text, total, score in beams:
            if text[-1] == END:
                pool.append((text, total, score))
                continue
            logits = table(text).tolist()
            if length <= settings.min_length:
                logits[END] = -math.inf
            norm = math.log(sum(math.exp(logit) for logit in logits))
            for token in range(vocabulary):
                new = total + logits[token] - norm
                divided = new / ((5 + length) / 6) ** settings.length_penalty
                pool.append(((*text, token), new, divided))
        beams = sorted(pool, key=lambda beam: -beam[2])[: settings.beam_size]
        if all(text[-1] == END for text, _, _ in beams):
            break
    return [(text, score) for text, _, score in beams]


@pytest.mark.parametrize("seed", range(6))
def test_narrow_search_follows_the_released_rules(seed: int) -> None:
    """Truth: the rules written out in plain Python: ended beams compete until pushed out."""
    settings = BeamSettings(3, min_length=1, max_length=8, length_penalty=0.6)
    table = random_table(7, seed)
    want = narrow_search(table, 7, settings)
    got = beam_search(_TableDecoder(table), torch.zeros(1, dtype=torch.long), END, settings)[0]
    assert len(got) == len(want)
    for one, (text, score) in zip(got, want, strict=True):
        assert (0, *one.tokens, *([END] if one.ended else [])) == text
        assert one.score == pytest.approx(score, rel=1e-5)


def test_lengths_are_kept(model: Unimo2Model, pixels: Tensor) -> None:
    """Truth: the minimum counts tokens before the end, the maximum counts the end too."""
    for bias in (-50.0, 50.0):
        biased = replace_end_bias(model, bias)
        found = generate(biased, pixels, BeamSettings(2, min_length=4, max_length=7))
        best = [hypotheses[0] for hypotheses in found]
        assert {len(h.tokens) for h in best} == ({4} if bias > 0 else {7})
        assert all(h.ended == (bias > 0) and END not in h.tokens for h in best)


def test_longer_penalty_prefers_longer_texts() -> None:
    """Truth: two texts whose scores are computed by hand, 0.5 in one step, 0.8 * 0.55 in two."""

    def table(text: tuple[int, ...]) -> Tensor:
        probabilities = {1: [0.0, 0.5, 0.5], 2: [0.0, 0.0, 1.0]}[len(text)]
        if len(text) == 2:
            probabilities = [0.1, 0.1, 0.8]
        return torch.tensor(probabilities, dtype=torch.float64).log()

    start = torch.zeros(1, dtype=torch.long)
    for penalty, tokens in ((0.0, ()), (3.0, (1,))):
        settings = BeamSettings(2, min_length=0, max_length=2, length_penalty=penalty)
        best = beam_search(_TableDecoder(table), start, END, settings)[0][0]
        one, two = math.log(0.5), math.log(0.5 * 0.8) / (7 / 6) ** penalty
        assert best.tokens == tokens
        assert best.score == pytest.approx(max(one, two))


def test_repeated_trigrams_are_found() -> None:
    """Truth: sentences made by hand."""
    assert repeats_trigram([1, 2, 3, 1, 2, 3])
    assert repeats_trigram([5, 5, 5, 5])
    assert not repeats_trigram([1, 2, 3, 1, 2])
    assert not repeats_trigram([1, 2, 3])
    assert not repeats_trigram([1, 2, 3, 2, 1, 3])


def test_blocked_trigrams_do_not_come_back(model: Unimo2Model, pixels: Tensor) -> None:
    """Truth: the definition, over captions that without blocking repeat themselves."""
    quiet = replace_end_bias(model, -50.0)
    settings = BeamSettings(3, min_length=0, max_length=20, block_trigrams=True)
    for hypotheses in generate(quiet, pixels, settings):
        tokens = (0, *hypotheses[0].tokens)
        trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        assert len(set(trigrams)) == len(trigrams)


def test_dropout_is_off_and_the_mode_restored(model: Unimo2Model, pixels: Tensor) -> None:
    """Truth: a model in training mode captions as in evaluation mode, and stays in training."""
    settings = BeamSettings(2, min_length=2, max_length=6)
    want = generate(model, pixels, settings)
    model.train()
    try:
        assert generate(model, pixels, settings) == want
        assert model.training
    finally:
        model.eval()


def test_settings_that_cannot_be_meant_are_refused(model: Unimo2Model, pixels: Tensor) -> None:
    """Truth: no beam, a minimum that is no less than the maximum, more tokens than positions."""
    for arguments in ({"beam_size": 0}, {"min_length": -1}, {"min_length": 50}, {"max_length": 0}):
        with pytest.raises(UsageError):
            BeamSettings(**arguments)
    with pytest.raises(UsageError, match="positions for 22"):
        generate(model, pixels, BeamSettings(max_length=23))
    assert generate(model, pixels, BeamSettings(1, min_length=0, max_length=22))
