"""The embedded models, their cards, and the folders that they are found in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import zoo
from evals.registry import get_benchmark, shown
from evals.suite_mini.suite import VERSION
from unimo2.errors import UsageError
from unimo2.files import write_text
from unimo2.formats.weights import weights_sha256
from unimo2.training.finetuning.config import TASKS

if TYPE_CHECKING:
    from zoo.cards import Card

PRETRAINED = "mini"
MOST_BYTES = 10 * 2**20  # of a model's folder in the package

_UNIMO2 = (
    "Li et al., UNIMO-2: End-to-End Unified Vision-Language Grounded Learning, Findings of ACL 2022"
)
_PAIRS = ("coco", "visual_genome", "conceptual_captions", "sbu")
_IMAGES, _TEXTS = ("imagenet21k", "open_images"), ("bookwiki", "openwebtext")
_ALONE = "on the embedded suite by itself, for models that start from it"
_PEER = "at the embedded model's size, trained on the embedded suite's pairs for as long"


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that comes with the package.

    Attributes:
        name: Of its card, and of the recipe of a pre-trained one.
        description: The card's line.
        data: Data sets of the suite that it is trained on.
        task: What it is fine-tuned for, starting from the pre-trained UNIMO-2; "" for a pre-trained
            model.
        citation: The card's line.
        headless: Whether it is an encoder without a head for a task: it can be fine-tuned, not measured.
    """

    name: str
    description: str
    data: tuple[str, ...]
    task: str = ""
    citation: str = _UNIMO2
    headless: bool = False

    def command(self, runs: Path) -> str:
        """The command that trains it; absolute folders of this machine are named by their last part."""
        runs = Path(runs.name) if runs.is_absolute() else runs
        start = f"finetune {shown(self.task)} --model {folder_of(PRETRAINED, runs) / 'model'}"
        verb = start if self.task else f"pretrain --config {self.name}"
        return f"unimo2 {verb} --output {folder_of(self.name, runs)}"

    def card(self, folder: Path, runs: Path) -> Card:
        """Its card; the model's folder says what it can do, unless it has no head."""
        return replace(
            self._encoder(folder) if self.headless else zoo.resolve(folder.resolve()),
            name=self.name,
            description=self.description,
            licence="Apache-2.0",
            citation=self.citation,
            training_data=(
                f"suite mini, version {VERSION}, seed 0: train splits of {', '.join(self.data)}",
            ),
            command=self.command(runs),
            adapted_from=PRETRAINED if self.task else None,
        )

    def _encoder(self, folder: Path) -> Card:
        from zoo.cards import Card, Source

        return Card(
            name=self.name,
            family="none",
            description=self.description,
            source=Source("embedded", str(folder)),
            capabilities=("text_classifier",),
            licence="",
            citation=self.citation,
            runnable=False,
            why_not_runnable="a pre-trained encoder has no head for a task: fine-tune it, and give the "
            f"folder that this writes as the model ('unimo2 finetune sst2 --model {self.name}')",
        )


def folder_of(name: str, runs: Path) -> Path:
    """Where a model is trained: where the commands put it by default, a tower where recipes look."""
    if name == PRETRAINED:
        return runs / "pretrain"
    task = name.removeprefix(f"{PRETRAINED}-").replace("-", "_")
    return runs / "finetune" / task if task in TASKS else runs / name


def embedded_models() -> list[EmbeddedModel]:
    """All of them, each after those that it starts from."""
    pretrained = [
        EmbeddedModel("mini-vit", f"The Visual Transformer, trained {_ALONE}", _IMAGES),
        EmbeddedModel(
            "mini-roberta", f"The Text Transformer, trained {_ALONE}", _TEXTS, headless=True
        ),
        EmbeddedModel(
            PRETRAINED,
            "UNIMO-2 at a small size, pre-trained on the embedded suite of drawn scenes",
            (*_PAIRS, *_IMAGES, *_TEXTS),
        ),
        EmbeddedModel(
            "mini-clip",
            f"CLIP of transformers {_PEER}",
            _PAIRS,
            citation="Radford et al., Learning Transferable Visual Models From Natural Language "
            "Supervision, 2021",
        ),
        EmbeddedModel(
            "mini-vilt",
            f"ViLT of transformers {_PEER}",
            (*_PAIRS, *_IMAGES),
            citation="Kim, Son and Kim, ViLT: Vision-and-Language Transformer Without Convolution "
            "or Region Supervision, ICML 2021",
        ),
    ]
    tuned = [
        EmbeddedModel(
            f"{PRETRAINED}-{shown(task)}",
            f"The embedded model fine-tuned for the embedded suite's {get_benchmark(task).title}",
            (get_benchmark(task).dataset,),
            task,
        )
        for task in TASKS
    ]
    return pretrained + tuned


def install(model: EmbeddedModel, runs: Path, package: Path) -> list[Path]:
    """Put trained weights and their card where the zoo finds them.

    Args:
        model: Which.
        runs: Folder that it was trained in, below.
        package: Folder of `zoo`, with `cards` and `checkpoints`.

    Returns:
        The checkpoint's folder and the card.

    Raises:
        UsageError: It is larger than an embedded model may be.
    """
    trained = folder_of(model.name, runs) / "model"
    size = sum(path.stat().st_size for path in trained.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise UsageError(
            f"{trained} takes {size:,} bytes; an embedded model takes at most {MOST_BYTES:,}: lower "
            "its size, or save it with save_dtype = 'float16'"
        )
    target = package / "checkpoints" / model.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(trained, target)
    card = package / "cards" / f"{model.name}.toml"
    card.parent.mkdir(parents=True, exist_ok=True)
    write_text(card, _toml(model.card(target, runs), target))
    return [target, card]


def _toml(card: Card, folder: Path) -> str:
    """A card of embedded weights in TOML."""
    lines = [
        f'name = "{card.name}"',
        f'family = "{card.family}"',
        f'description = "{card.description}"',
        f"capabilities = {_array(card.capabilities)}",
        f'licence = "{card.licence}"',
        f'citation = "{card.citation}"',
        f"training_data = {_array(card.training_data)}",
        f'command = "{card.command}"',
        f'weights_sha256 = "{weights_sha256(folder)}"',
    ]
    if card.why_not_runnable:
        lines += ["runnable = false", f'why_not_runnable = "{card.why_not_runnable}"']
    if card.finetuned_for:
        lines += [
            f"finetuned_for = {_array(card.finetuned_for)}",
            f'adapted_from = "{card.adapted_from}"',
        ]
    source = ["", "[source]", 'kind = "embedded"', f'location = "checkpoints/{card.name}"', ""]
    return "\n".join(lines + source)


def _array(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
