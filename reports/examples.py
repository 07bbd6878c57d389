"""Items of a run for display: image, question, answer, truth, score.

A run keeps ids, predictions and scores of its items; texts and images are read from the data set,
by the benchmark's own reader. They are shown only if the data is the very data that was measured.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evals import records
from evals.benchmark import Request
from evals.datasets import suites
from evals.records import Record
from evals.registry import get_benchmark
from unimo2.errors import Unimo2Error

if TYPE_CHECKING:
    import pandas as pd

    from evals.retrieval.shortlist import Shortlists

MOST = 10_000  # items of a run that a page holds
_EXTREMES = 500  # of them, the best and the worst of a longer run
_TOP = 5  # candidates of a query
_OFF_SHORTLIST = "Candidates that are not on a query's shortlist have the score that chose it."
RIGHT = 0.5  # a score from which an item counts as right


@dataclass(frozen=True)
class Candidate:
    """What a query was matched with.

    Attributes:
        text: A caption, or the name of an image.
        image: Its file, or None.
        score: Of the pair.
        true: Whether it belongs to the query.
    """

    text: str
    image: Path | None
    score: float
    true: bool


class Example(NamedTuple):
    """One item.

    Attributes:
        key: Its id, the same in every run on the same data.
        about: The question, sentence or caption; "" where there is only an image.
        given: What the model said.
        truth: What it should have said; "" where it is not known here.
        score: What that is worth; None where it is not known here. 0 to 1, or a caption's CIDEr.
        margin: How sure the model was, small for undecided; None where that is not kept.
        image: The image file, or None.
        more: Further lines: references, answers of annotators.
        candidates: Of a query, the best first.
        graded: The score is a degree: no item is simply right or wrong.
        part: Of a run that measures two things, which of them: "image retrieval".
    """

    key: str
    about: str
    given: str
    truth: str
    score: float | None
    margin: float | None = None
    image: Path | None = None
    more: Sequence[str] = ()
    candidates: Sequence[Candidate] = ()
    graded: bool = False
    part: str = ""

    @property
    def right(self) -> bool | None:
        """Whether it counts as right; None where the truth is unknown or the score is a degree."""
        return None if self.score is None or self.graded else self.score >= RIGHT


@dataclass(frozen=True)
class Examples:
    """Items of one run.

    Attributes:
        items: In the order of the run.
        of: How many the run has.
        words: What the fields are called: about, given, truth, score; "" for one that is not shown.
        note: Why texts and images are missing, or "".
    """

    items: Sequence[Example]
    of: int
    words: tuple[str, str, str, str]
    note: str = ""

    @property
    def graded(self) -> bool:
        """Whether the scores are degrees."""
        return bool(self.items) and self.items[0].graded

    def parts(self) -> list[tuple[str, Examples]]:
        """The same by what was measured, with its name; a single one is called ""."""
        names = dict.fromkeys(one.part for one in self.items)
        if len(names) < 2:
            return [("", self)]
        return [
            (name, replace(self, items=[one for one in self.items if one.part == name]))
            for name in names
        ]

    def best(self, count: int) -> list[Example]:
        """Items with the highest scores, the surest of them first."""
        return _first(self._scored(), count, lambda one: -_score(one), surest=True)

    def worst(self, count: int) -> list[Example]:
        """Items with the lowest scores, the surest of them first."""
        return _first(self._scored(), count, _score, surest=True)

    def undecided(self, count: int) -> list[Example]:
        """Items with the smallest margins."""
        known = [one for one in self.items if one.margin is not None]
        return _first(known, count, lambda one: one.margin or 0.0)

    def _scored(self) -> list[Example]:
        return [one for one in self.items if one.score is not None]


def _score(one: Example) -> float:
    return 0.0 if one.score is None else one.score


def _first(
    items: Iterable[Example], count: int, key: Callable[[Example], float], surest: bool = False
) -> list[Example]:
    """The first by a key; of equal ones those that show different pictures."""
    order = (lambda one: (key(one), -(one.margin or 0.0))) if surest else key
    chosen: list[Example] = []
    for _, equals in groupby(sorted(items, key=order), key):
        seen: set[Path | None] = set()
        again = []
        for one in equals:
            if len(chosen) == count:
                return chosen
            picture = one.image or (one.candidates[0].image if one.candidates else None)
            if picture is not None and picture in seen:
                again.append(one)
            else:
                chosen.append(one)
            seen.add(picture)
        chosen += again[: count - len(chosen)]
    return chosen


@dataclass
class ExampleSources:
    """The data sets that examples are read from, each once.

    Attributes:
        root: Data root; the embedded suite lies in its own place, unless this is one.
    """

    root: Path | None = None
    _read: dict[tuple[str, str, str, int | None], Any] = field(default_factory=dict)

    def of(self, record: Record) -> Any:
        """The very data of a record; other data of its split, or None, where that is not here."""
        found = []
        for limit in _limits(record):
            found.append(self._once(record, limit))
            if found[-1] and found[-1].fingerprint == record.data.get("fingerprint"):
                return found[-1]
        return next(filter(None, found), None)

    def _once(self, record: Record, limit: int | None) -> Any:
        key = (record.suite, record.benchmark, str(record.data.get("split")), limit)
        if key not in self._read:
            try:
                suite = self._suite(record.suite)
                self._read[key] = read_split(record.benchmark, suite, key[2], limit)
            except (Unimo2Error, OSError):
                self._read[key] = None
        return self._read[key]

    def _suite(self, name: str) -> suites.Suite:
        if self.root is not None and suites.resolve(None, self.root).name == name:
            return suites.resolve(name, self.root)
        return suites.resolve(name)


def _limits(record: Record) -> Sequence[int | None]:
    """What `--limit` may have been, likeliest first: of rows in each of up to two files."""
    sample = re.match(r"[\d,]+(?= of )", str(record.data.get("note")))
    if sample is None:
        return (None,)
    count = int(sample[0].replace(",", ""))
    return (count, None, *([count // 2] if count > 1 else []))


def read_split(name: str, suite: suites.Suite, split: str, limit: int | None = None) -> Any:
    """The data of one split, by the benchmark's own reader."""
    benchmark = get_benchmark(name)
    options = benchmark.Options()
    request = Request(name, suite.name, split=split, limit=limit, options=options)
    return benchmark.read(suite, request)


def examples(record: Record, sources: ExampleSources) -> Examples | None:
    """The items of a run.

    Args:
        record: Read from a run folder.
        sources: Where texts and pictures come from.

    Returns:
        At most `MOST` of them: of a longer run its best and worst and an even choice of the others;
        None for a run that kept no items.
    """
    if record.path is None or not (record.path.parent / records.SAMPLES).is_file():
        return None
    samples = records.read_samples(record.path.parent)
    chosen = _chosen(samples)
    data = sources.of(record)
    note = ""
    if data is None:
        note = "The data is not here: texts and images are left out."
    elif data.fingerprint != record.data.get("fingerprint"):
        data, note = (
            None,
            "The data here is not the data that was measured: texts and images are left out.",
        )
    if record.protocol.get("rerank"):
        note = f"{note} {_OFF_SHORTLIST}".strip()
    make = _MAKERS.get(record.benchmark, _glue if "target" in samples else _plain)
    words = _WORDS.get(record.benchmark, ("item", "prediction", "truth", "score"))
    try:
        items = make(samples.iloc[chosen], data, record)
    except (KeyError, AttributeError, IndexError, TypeError, ValueError):
        # Samples of another version, or of a benchmark that is not ours: shown as they are.
        items, note = _plain(samples.iloc[chosen], None, record), note or "Shown as kept."
    return Examples(items, len(samples), words, note)


def _chosen(samples: pd.DataFrame) -> Sequence[int]:
    count = len(samples)
    if count <= MOST:
        return range(count)
    even = np.linspace(0, count - 1, MOST - 2 * _EXTREMES).round().astype(int)
    column = "score" if "score" in samples else "better" if "better" in samples else None
    if column is None:
        return list(map(int, even))
    order = np.argsort(samples[column].to_numpy(dtype=float), kind="stable")
    picked = {*map(int, even), *map(int, order[:_EXTREMES]), *map(int, order[-_EXTREMES:])}
    return sorted(picked)


def _lines(samples: pd.DataFrame) -> list[dict[str, Any]]:
    names = list(samples.columns)  # iterating pandas' index for every row is the slowest part
    columns = [samples[name].to_numpy(dtype=object).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return (
        ", ".join(map(str, value)) if isinstance(value, (list, tuple, np.ndarray)) else str(value)
    )


def _plain(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    """Items about which only what the run kept is known."""
    found = []
    for number, line in zip(samples.index, _lines(samples), strict=True):
        key = next(
            (str(line[n]) for n in ("id", "query", "image", "image_id") if n in line), number
        )
        score = _number(line.get("score"))
        given, truth = _text(line.get("prediction")), _text(line.get("target"))
        found.append(Example(str(key), "", given, truth, score, _number(line.get("logit"))))
    return found


def _vqa(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    questions: dict[int, tuple[str, Path]] = {}
    if data is not None:
        questions = {
            one.id: (one.text, path) for one, path in zip(data.questions, data.images, strict=True)
        }
    truth = {} if data is None or data.truth is None else data.truth
    found = []
    for line in _lines(samples):
        number = int(line["question_id"])
        text, path = questions.get(number, ("", None))
        answers = truth[number].answers if number in truth else ()
        said = _annotators(tuple(answer.text for answer in answers))
        found.append(
            Example(
                str(number), text, _text(line["prediction"]), _text(line["target"]),
                _number(line["score"]), image=path, more=said,
            )
        )  # fmt: skip
    return found


@lru_cache(maxsize=1 << 16)  # every run on the same questions has the same
def _annotators(answers: tuple[str, ...]) -> tuple[str, ...]:
    counted = Counter(answers).most_common()
    said = ", ".join(f"{answer} ({count})" for answer, count in counted)
    return (f"annotators: {said}",) if said else ()


def _snli_ve(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    pairs: dict[str, tuple[str, Path]] = {}
    if data is not None:
        pairs = {
            p.id: (p.hypothesis, path) for p, path in zip(data.pairs, data.images, strict=True)
        }
    found = []
    for line in _lines(samples):
        text, path = pairs.get(line["pair_id"], ("", None))
        given, truth = _text(line["prediction"]), _text(line["target"])
        score, margin = _number(line["score"]), _number(line.get("logit"))
        found.append(Example(str(line["pair_id"]), text, given, truth, score, margin, path))
    return found


def _coco(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    paths = {} if data is None else {one.cocoid: one.path for one in data.images}
    found = []
    for line in _lines(samples):
        references = list(map(str, line["target"])) if line["target"] is not None else []
        found.append(
            Example(
                str(line["image_id"]), "", _text(line["prediction"]), "",
                None if (score := _number(line["score"])) is None else 100 * score,
                image=paths.get(int(line["image_id"])),
                more=[f"reference: {text}" for text in references], graded=True,
            )
        )  # fmt: skip
    return found


def _imagenet(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    paths, names = {}, {}
    if data is not None:
        paths = {one.name: one.path for one in data.images}
        names = {one.wnid: one.names[0] for one in data.synsets}
    found = []
    for line in _lines(samples):
        given, truth = str(line["prediction"]), str(line["target"])
        margin = None
        if line.get("logit") is not None and line.get("truth_score") is not None:
            gap = float(line["logit"]) - float(line["truth_score"])
            margin = gap if gap > 0 else None
        found.append(
            Example(
                str(line["image"]), "", names.get(given, given), names.get(truth, truth),
                _number(line["score"]), margin, paths.get(line["image"]),
            )
        )  # fmt: skip
    return found


def _glue(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    rows = None if data is None else getattr(data, "rows", None)
    correlation = not any(isinstance(value, str) for value in samples["target"][:1])
    found = []
    for place, line in zip(samples.index, _lines(samples), strict=True):
        sentences = "" if rows is None else " / ".join(rows[place][1].sentences)
        given, truth = _text(line["prediction"]), _text(line["target"])
        score = _number(line["score"])
        margin = _number(line.get("logit"))
        pair = _number(given), _number(truth)
        graded = correlation and pair[0] is not None and pair[1] is not None
        if graded:
            said, true = (round(one or 0.0, 2) + 0.0 for one in pair)  # and no "-0.00"
            given, truth, margin = f"{said:.2f}", f"{true:.2f}", None
            score = 1.0 - min(1.0, abs(said - true) / 5.0)
        key = f"{line.get('part', '')} {line['id']}".strip()
        found.append(Example(key, sentences, given, truth, score, margin, graded=graded))
    return found


def _flickr(samples: pd.DataFrame, data: Any, record: Record) -> list[Example]:
    images: dict[int, Any] = {} if data is None else {one.id: one for one in data.images}
    captions = {c.id: (c.text, one) for one in images.values() for c in one.captions}
    top = _Top.of(record, images, captions)
    found = []
    for line in _lines(samples):
        query, of_caption = int(line["query"]), line["task"] == "image_retrieval"
        kept = _kept(line, images, captions, of_caption)
        shown = top.candidates(query, of_caption) or kept
        if not any(one.true for one in shown):
            shown = [*shown, *(one for one in kept if one.true)]
        text = captions[query][0] if query in captions and of_caption else ""
        own = None if of_caption or query not in images else images[query].path
        gap = _number(line["best_score"]), _number(line["truth_score"])
        runner_up = [one.score for one in shown if not one.true][:1]
        wrong = runner_up[0] if runner_up else gap[0]
        margin = None if wrong is None or gap[1] is None else abs(gap[1] - wrong)
        right = int(line["better"]) == 0 and int(line["tied_wrong"]) == 0
        found.append(
            Example(
                f"{line['task']} {query}", text, f"rank {float(line['rank']):g}", "",
                1.0 if right else 1.0 / (1.0 + float(line["better"])) * RIGHT, margin or None, own,
                candidates=shown, part=line["task"].replace("_", " "),
            )
        )  # fmt: skip
    return found


def _kept(
    line: Mapping[str, Any],
    images: Mapping[int, Any],
    captions: Mapping[int, Any],
    of_caption: bool,
) -> list[Candidate]:
    """The best and the true candidate, which every run keeps."""
    found = {}
    for name in ("best", "truth"):
        number, score = int(line[name]), float(line[f"{name}_score"])
        found[number] = _candidate(number, score, name == "truth", images, captions, of_caption)
    return sorted(found.values(), key=lambda one: -one.score)


def _candidate(
    number: int,
    score: float,
    true: bool,
    images: Mapping[int, Any],
    captions: Mapping[int, Any],
    is_image: bool,
) -> Candidate:
    if is_image:
        known = images.get(number)
        return Candidate(f"image {number}", None if known is None else known.path, score, true)
    text = captions[number][0] if number in captions else f"caption {number}"
    return Candidate(text, None, score, true)


@dataclass(frozen=True)
class _Top:
    """The first candidates of each query, from the score matrices if the run kept them.

    Attributes:
        scores: `[images, captions]`, or None.
        chosen: Likewise, by which shortlists were chosen; None where every pair was scored.
        shortlists: In a direction's ranking its own stands first, and the others below by `chosen`.
        images: By number.
        captions: Text and image by number.
    """

    scores: Any
    chosen: Any
    shortlists: Shortlists | None
    images: Mapping[int, Any]
    captions: Mapping[int, Any]

    @cached_property
    def image_ids(self) -> list[int]:
        """In the order of the rows."""
        return list(self.images)

    @cached_property
    def caption_ids(self) -> list[int]:
        """In the order of the columns."""
        return list(self.captions)

    @cached_property
    def places(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """Rows of images and columns of captions."""
        rows = {number: place for place, number in enumerate(self.image_ids)}
        return rows, {number: place for place, number in enumerate(self.caption_ids)}

    @classmethod
    def of(cls, record: Record, images: Mapping[int, Any], captions: Mapping[int, Any]) -> _Top:
        shape = (len(images), len(captions))
        scores, chosen, shortlists = _matrix(record, "scores", shape), None, None
        rerank = record.protocol.get("rerank")
        if rerank and scores is not None:
            from evals.retrieval.chooser import CHOOSER, CONTRASTIVE
            from evals.retrieval.shortlist import Shortlists

            by = CHOOSER if record.protocol.get("shortlist_from") else CONTRASTIVE
            chosen = _matrix(record, by, shape)
            if chosen is None:
                scores = None  # the order of the run is not known
            else:
                shortlists = Shortlists.of(chosen, int(rerank))
        return cls(scores, chosen, shortlists, images, captions)

    def candidates(self, query: int, of_caption: bool) -> list[Candidate]:
        place = self.places[of_caption].get(query)
        if self.scores is None or place is None:
            return []
        line = np.s_[:, place] if of_caption else np.s_[place]
        scores, tiers = np.asarray(self.scores[line]), [np.arange(len(self.scores[line]))]
        if self.shortlists is not None:
            first = (self.shortlists.images if of_caption else self.shortlists.texts)[line]
            scores = np.where(first, scores, self.chosen[line])
            tiers = [np.flatnonzero(first), np.flatnonzero(~first)]
        order: list[int] = []
        for tier in tiers:
            if len(order) < _TOP:
                order += tier[np.argsort(-scores[tier], kind="stable")][:_TOP].tolist()
        ids = self.image_ids if of_caption else self.caption_ids
        return [
            self._made(query, ids[number], float(scores[number]), of_caption)
            for number in order[:_TOP]
            if np.isfinite(scores[number])
        ]

    def _made(self, query: int, other: int, score: float, of_caption: bool) -> Candidate:
        owner = self.captions[query if of_caption else other][1].id
        true = owner == (other if of_caption else query)
        return _candidate(other, score, true, self.images, self.captions, of_caption)


def _matrix(record: Record, name: str, shape: tuple[int, int]) -> Any:
    """A score matrix of a run, or None where it kept none of that shape."""
    path = None if record.path is None else record.path.parent / f"{name}.npy"
    if path is None or not path.is_file():
        return None
    found = np.load(path, mmap_mode="r")
    return found if found.shape == shape else None


_MAKERS: Mapping[str, Callable[[Any, Any, Record], list[Example]]] = {
    "flickr": _flickr,
    "vqa": _vqa,
    "snli_ve": _snli_ve,
    "coco": _coco,
    "imagenet": _imagenet,
}
_WORDS = {
    "flickr": ("query", "the truth is at", "", ""),
    "vqa": ("question", "answer", "commonest answer", "accuracy"),
    "snli_ve": ("hypothesis", "label given", "true label", "accuracy"),
    "coco": ("", "caption", "", "CIDEr of the image"),
    "imagenet": ("", "class given", "true class", "accuracy"),
    "stsb": ("sentences", "predicted", "true", "closeness"),
}


def confusions(samples: Sequence[Example], count: int = 20) -> list[tuple[str, str, int]]:
    """The commonest mistakes of a classifier: the truth, what was given, how often."""
    wrong = Counter((one.truth, one.given) for one in samples if one.right is False and one.truth)
    return [(truth, given, times) for (truth, given), times in wrong.most_common(count)]
