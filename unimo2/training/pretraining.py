"""Pre-training as a task of the trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.console import stage
from unimo2.data.batches import MixedBatch
from unimo2.data.corpora import prompted, read_classes, read_pair_columns
from unimo2.data.images import ImageStore
from unimo2.data.index import Index, TextFiles
from unimo2.data.kept_index import Notice
from unimo2.data.listing import Wanted, keep_all
from unimo2.data.pairs import ImageCorpus, PairCorpus
from unimo2.data.seeding import Shard, seeded_weights
from unimo2.data.text_blocks import FileBlocks, TextCorpus, blocks, text_folders
from unimo2.data.texts import TokenTable
from unimo2.errors import MissingData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.plain_text import TextLine, text_lines
from unimo2.formats.weights import refuse_damaged
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.fields import TIMM_FOLDER
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.towers import load_roberta, load_vit, start_from_towers
from unimo2.processing import Unimo2Processor, as_clip_reads, train_tokenizer
from unimo2.training.checkpoints import save_tensors
from unimo2.training.config import PretrainConfig
from unimo2.training.curriculum import Corpora
from unimo2.training.objectives import JointObjective
from unimo2.training.recipes import Recipe, model_fields
from unimo2.training.trainer import Evaluate, OnProgress, TrainingTask, TrainSummary, train

# Lines of text that a tokenizer is trained on: far more than enough for one.
_TOKENIZER_LINES = 2_000_000


@dataclass(frozen=True)
class PretrainingRun:
    """Inputs of a pre-training run other than its configuration."""

    processor: Unimo2Processor  # with a tokenizer trained on the captions
    model_config: Unimo2Config  # with that tokenizer's size
    corpora: Corpora
    # what was left out of them: images that are not on disk, rows that cannot be used
    skips: Skips = field(default_factory=Skips)
    # folders of the towers that a configuration may name, by name
    towers: Mapping[str, Path] = field(default_factory=dict)


def model_config(recipe: Recipe, vocab_size: int | None = None) -> Unimo2Config:
    """As `unimo2.training.recipes.model_fields`, to build a model from."""
    return model_fields(recipe, Unimo2Config, vocab_size)


def prepare(
    recipe: Recipe,
    root: Path,
    notice: Notice | None = None,
    towers: Mapping[str, Path] | None = None,
) -> PretrainingRun:
    """Read the corpora, train the tokenizer, build the model configuration.

    Args:
        recipe: What is trained, and how.
        root: Data root.
        notice: Called before a reading that takes long.
        towers: Folders of the towers that the recipe may name.

    Raises:
        UsageError: Or one of its kinds (MissingData, BadData).
    """
    towers, skips = towers or {}, Skips()
    training = recipe.training.located(towers)
    _refuse_damaged_towers(training)
    with stage("listing the corpora"):
        found = _read(training, root, skips, notice)
    folders = text_folders(root, training.text_sets)

    def lines() -> Iterator[TextLine]:
        return chain.from_iterable(text_lines(folder, skips) for folder in folders)

    some = (line.text for line in islice(lines(), _TOKENIZER_LINES))
    labels = () if found.labelled is None else found.labelled.texts
    with stage("preparing the tokenizer"):
        tokenizer = find_tokenizer(training, chain(found.pairs.texts, labels, some))
    if training.trains == "clip":
        as_clip_reads(tokenizer)
    config = model_config(recipe, len(tokenizer))
    # RoBERTa's positions start after the padding id.
    longest = config.max_position_embeddings - config.pad_token_id - 1
    for name, length in (
        ("max_text_length", training.max_text_length),
        ("text_length", training.text_limit),
    ):
        if length > longest:
            raise UsageError(
                f"training.{name} is {length}, but the model has positions for {longest} tokens: "
                "lower it, or raise model.max_position_embeddings"
            )
    processor = Unimo2Processor(
        tokenizer=tokenizer, image_size=config.image_size, max_text_length=longest
    )
    with stage("reading the corpora"):
        corpora = _corpora(training, processor, found, lines)
    return PretrainingRun(processor, config, corpora, skips, towers)


def _refuse_damaged_towers(training: PretrainConfig) -> None:
    """Look at towers that are folders before anything is read; those of a hub come whole."""
    vision, text = training.vision_tower, training.text_tower
    named = [vision.removeprefix(TIMM_FOLDER)] if vision.startswith(TIMM_FOLDER) else []
    for folder in map(Path, [*named, *([text] if text else [])]):
        if folder.is_dir():
            refuse_damaged(folder)


class _Listed(NamedTuple):
    """Corpora in the data root; None for kinds that are not trained on."""

    pairs: Index
    labelled: Index | None  # texts are prompts
    texts: TextFiles | None


def _read(training: PretrainConfig, root: Path, skips: Skips, notice: Notice | None) -> _Listed:
    """List the corpora: of those that are streamed there is one list for all processes."""
    folders = text_folders(root, training.text_sets)
    if training.loading == "memory":
        shown = (
            _labelled(root, training, training.image_sets, skips) if training.image_sets else None
        )
        files = TextFiles(folders) if folders else None
        return _Listed(_pairs(root, training, training.pair_sets, skips), shown, files)
    # The longest part comes first, and the pairs last: their lists are quickly put together.
    wanted: dict[str, Wanted] = {}
    if folders:
        what: dict[str, Any] = {"what": "texts", "sets": training.text_sets}
        wanted["texts"] = Wanted(what, folders, [partial(_files, folders)])
    if training.image_sets:
        what = {"what": "labelled", "sets": training.image_sets, "prompts": training.prompts}
        parts = [partial(_labelled, root, training, [name]) for name in training.image_sets]
        wanted["labelled"] = Wanted(
            what, [root / name for name in training.image_sets], parts, True
        )
    beside = [name for name in training.leave_out if name not in training.pair_sets]
    places = [root / name for name in (*training.pair_sets, *beside)]
    parts = [partial(_pairs, root, training, [name]) for name in training.pair_sets]
    wanted["pairs"] = Wanted({"what": "pairs", "sets": training.pair_sets}, places, parts)
    found = dict(zip(wanted, keep_all([*wanted.values()], skips, notice), strict=True))
    return _Listed(
        Index.of(found["pairs"]),
        Index.of(found["labelled"], repeated=True) if training.image_sets else None,
        TextFiles.of(found["texts"]) if folders else None,
    )


def _pairs(root: Path, training: PretrainConfig, sets: Sequence[str], lost: Skips) -> Index:
    return Index(read_pair_columns(root, sets, lost, training.leave_out))


def _labelled(root: Path, training: PretrainConfig, sets: Sequence[str], lost: Skips) -> Index:
    return Index(prompted(read_classes(root, sets, lost), training.prompts), repeated=True)


def _files(folders: Sequence[Path], _: Skips) -> TextFiles:
    return TextFiles(folders)


def _corpora(
    training: PretrainConfig,
    processor: Unimo2Processor,
    found: _Listed,
    lines: Callable[[], Iterator[TextLine]],
) -> Corpora:
    """Corpora of what was found, decoded and tokenised now or when it is due."""
    held = training.loading == "memory"
    buffer = 0 if held else training.shuffle_buffer

    def store(index: Index) -> ImageStore:
        return ImageStore(
            index.sources, processor.image_size, held, training.workers, index.fingerprint
        )

    def with_texts(index: Index, images: ImageStore, setting: str) -> PairCorpus:
        captions = index.captions(processor.tokenizer, training.max_text_length, held)
        return PairCorpus(images, captions, index.counts, processor, buffer, setting)

    prompts = unpaired = texts = None
    if found.labelled is not None:
        shown = store(found.labelled)
        unpaired = ImageCorpus(shown, processor, buffer)
        prompts = with_texts(found.labelled, shown, "labelled images (training.prompt_share)")
    if found.texts is not None:
        limit = training.text_limit
        packed: TokenTable | FileBlocks
        if held:
            packed = TokenTable(blocks(lines(), processor, limit))
        else:
            packed = FileBlocks(found.texts, processor, limit)
        texts = TextCorpus(packed, processor, limit, buffer)
    corpus = with_texts(found.pairs, store(found.pairs), "images (training.batch_size)")
    return Corpora(corpus, processor, prompts, unpaired, texts)


def find_tokenizer(training: PretrainConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of the text tower that training starts from, or one trained on the texts."""
    if not training.text_tower:
        return train_tokenizer(texts, training.vocab_size)
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            training.text_tower, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(f"no tokenizer at {training.text_tower!r}: {reason}") from None
    return found


class PairTask(TrainingTask):
    """Objective of pairs and of the corpora trained with them, for any model."""

    def __init__(self, config: PretrainConfig, prepared: PretrainingRun) -> None:
        """Take the corpora; a subclass adds `model` and `objective`."""
        self.config = config
        self.processor, self.corpora = prepared.processor, prepared.corpora
        self._left_out = prepared.skips.counts
        self._checked = 0  # parts of a batch for which both phases are known to be possible

    def batch(self, step: int, share: Shard) -> MixedBatch:
        """A part of the batch of a step; UsageError if one of either phase cannot be made."""
        if self._checked != share.world:
            self.corpora.require(self.config, share)
            self._checked = share.world
        return self.corpora.batch(step, self.config, share)

    def identity(self) -> dict[str, Any]:
        """Model and corpora."""
        return {"model": self.model.config.to_diff_dict(), "corpora": self.corpora.describe()}

    def notes(self) -> dict[str, Any]:
        """Items left out of the corpora, by reason."""
        return {"left_out": self._left_out} if self._left_out else {}


class PretrainingTask(PairTask):
    """UNIMO-2 with random weights, the losses of pre-training, and its corpora."""

    objective: JointObjective

    def __init__(self, config: PretrainConfig, prepared: PretrainingRun) -> None:
        """Build the model; its weights follow from the seed, or from the configuration's towers.

        Raises:
            UsageError: The towers are missing, or of other sizes than the model.
        """
        super().__init__(config, prepared)
        with seeded_weights(config.seed):
            whole = Unimo2ForPreTraining(prepared.model_config)
        self.model = whole.unimo2
        if config.vision_tower:
            places = config.located(prepared.towers)
            weights_file = Path(config.vision_weights) if config.vision_weights else None
            vit = load_vit(places.vision_tower, weights_file)
            start_from_towers(self.model, vit, load_roberta(places.text_tower))
        self.objective = JointObjective(whole, config, self.corpora.images is not None)

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model and its processor, and beside them the projection of views, if trained.

        The projection (`vcl_projection.safetensors`) is needed to train on, not to use the model.
        """
        super().save(folder, dtype)
        if self.objective.projection is not None:
            save_tensors(self.objective.projection, folder.parent / "vcl_projection.safetensors")


def pretrain(
    config: PretrainConfig,
    prepared: PretrainingRun,
    output: Path,
    resume: str = "auto",
    device: str = "auto",
    on_progress: OnProgress | None = None,
    evaluate: Evaluate | None = None,
) -> TrainSummary:
    """Train a model from random weights and save it; see `unimo2.training.trainer.train`."""
    task = PretrainingTask(config, prepared)
    return train(task, config, output, resume, device, on_progress, evaluate)
