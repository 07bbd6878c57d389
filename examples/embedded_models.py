"""Train the embedded models on the embedded suite, and put them where the package looks for them.

    unimo2 data make-mini
    python examples/embedded_models.py runs/embedded                      everything, in turn
    python examples/embedded_models.py runs/embedded --only sst2 cola     some of it

For each model its recipe is run by the command that its card then names; what was trained before is
not trained again, and what was interrupted goes on. Weights go to `zoo/checkpoints/`, cards to
`zoo/cards/`. The models of tasks start from the embedded pre-trained one, which is trained first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zoo
from evals.registry import get_benchmark
from evals.suite_mini.suite import VERSION

ZOO = Path(zoo.__file__).parent
PRETRAINED = "mini"
PROCESSES = 2
# Families that are also trained on the embedded pairs, for comparison: what they are, and whose.
PEERS = {
    "clip": (
        "CLIP of transformers",
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021",
    ),
    "vilt": (
        "ViLT of transformers",
        "Kim, Son and Kim, ViLT: Vision-and-Language Transformer Without Convolution or Region "
        "Supervision, ICML 2021",
    ),
}
# By how a task is written on the command line; where its training data lies in the suite.
DATA = {
    "sst2": "glue/SST-2",
    "cola": "glue/CoLA",
    "stsb": "glue/STS-B",
    "mnli": "glue/MNLI",
    "imagenet": "imagenet",
    "coco": "coco",
    "flickr": "flickr30k",
    "snli-ve": "snli_ve",
    "vqa": "vqa",
}
MOST_BYTES = 10 * 2**20  # of a model's folder in the package


@dataclass(frozen=True)
class Embedded:
    """A model that comes with the package.

    Attributes:
        name: of its card.
        arguments: of `unimo2` that train it, without the output folder.
        description: the card's line.
        data: what it was trained on.
        processes: that train it together.
        family: of the zoo.
        citation: the card's line.
    """

    name: str
    arguments: tuple[str, ...]
    description: str
    data: str
    processes: int = 1
    family: str = "unimo2"
    citation: str = (
        "Li et al., UNIMO-2: End-to-End Unified Vision-Language Grounded Learning, "
        "Findings of ACL 2022"
    )

    def run_folder(self, runs: Path) -> Path:
        """Where it is trained."""
        return runs / self.name

    def command(self, runs: Path) -> list[str]:
        """The command that trains it, as its card names it."""
        start = ["unimo2"]
        if self.processes > 1:
            start = ["torchrun", "--nproc-per-node", str(self.processes), "-m", "unimo2"]
        return [*start, *self.arguments, "--output", str(self.run_folder(runs))]


def embedded_models() -> list[Embedded]:
    """All of them, the pre-trained one first."""
    suite = f"suite mini, version {VERSION}, seed 0"
    pairs = "coco, visual_genome, conceptual_captions, sbu"
    pretrained = Embedded(
        PRETRAINED,
        ("pretrain", "--config", "mini"),
        "UNIMO-2 at a small size, pre-trained on the embedded suite of drawn scenes",
        f"{suite}: train splits of {pairs}, imagenet21k, open_images, bookwiki, openwebtext",
        PROCESSES,
    )
    tuned = [
        Embedded(
            f"{PRETRAINED}-{task}",
            ("finetune", task),
            f"The embedded model fine-tuned for the embedded suite's {get_benchmark(task).title}",
            f"{suite}: train split of {folder}",
        )
        for task, folder in DATA.items()
    ]
    peers = [
        Embedded(
            f"{PRETRAINED}-{family}",
            ("pretrain", "--config", f"{PRETRAINED}-{family}"),
            f"{model} at the embedded model's size, trained on the embedded suite's pairs for as long",
            f"{suite}: train splits of {pairs}",
            PROCESSES,
            family,
            citation,
        )
        for family, (model, citation) in PEERS.items()
    ]
    return [pretrained, *tuned, *peers]


def is_finished(model: Embedded, runs: Path) -> bool:
    """Whether its run has come to the end; of pre-training, the choice of the retrieval weight."""
    report = model.run_folder(runs) / "train.json"
    if not report.is_file():
        return False
    return model.name != PRETRAINED or "retrieval_weight" in json.loads(report.read_bytes())


def train(model: Embedded, runs: Path) -> None:
    """Run its command, unless it has finished before."""
    if is_finished(model, runs):
        return
    command = model.command(runs)
    print(" ".join(command), flush=True)
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True)


def install(model: Embedded, runs: Path, zoo_folder: Path) -> None:
    """Put its weights and its card into the package.

    Raises:
        SystemExit: it is larger than an embedded model may be.
    """
    trained = model.run_folder(runs) / "model"
    size = sum(path.stat().st_size for path in trained.iterdir())
    if size > MOST_BYTES:
        raise SystemExit(
            f"{trained} takes {size:,} bytes; an embedded model at most {MOST_BYTES:,}"
        )
    target = zoo_folder / "checkpoints" / model.name
    shutil.copytree(trained, target, dirs_exist_ok=True)
    card = zoo_folder / "cards" / f"{model.name}.toml"
    card.write_text(card_text(model, runs, target), encoding="utf-8")
    print(f"{target}: {size:,} bytes; {card}", flush=True)


def card_text(model: Embedded, runs: Path, folder: Path) -> str:
    """The card in TOML; the model's folder says what it can do."""
    known = zoo.resolve(str(folder.resolve()))
    digest = hashlib.sha256((folder / zoo.cards.WEIGHTS).read_bytes()).hexdigest()
    lines = [
        f'name = "{model.name}"',
        f'family = "{model.family}"',
        f'description = "{model.description}"',
        f"capabilities = {_array(known.capabilities)}",
        'licence = "Apache-2.0"',
        f'citation = "{model.citation}"',
        f"training_data = {_array([model.data])}",
        f'command = "{" ".join(model.command(runs))}"',
        f'weights_sha256 = "{digest}"',
    ]
    if known.finetuned_for:
        lines += [
            f"finetuned_for = {_array(known.finetuned_for)}",
            f'adapted_from = "{PRETRAINED}"',
        ]
    source = ["", "[source]", 'kind = "embedded"', f'location = "checkpoints/{model.name}"', ""]
    return "\n".join(lines + source)


def _array(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def main() -> None:
    """Read the command line, train and install."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", type=Path, help="folder for the training runs, named in the cards")
    names = [PRETRAINED, *DATA, *PEERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="folder with cards/ and checkpoints/")
    arguments = parser.parse_args()
    for model, name in zip(embedded_models(), names, strict=True):
        if name in arguments.only:
            train(model, arguments.runs)
            install(model, arguments.runs, arguments.zoo)


if __name__ == "__main__":
    main()
