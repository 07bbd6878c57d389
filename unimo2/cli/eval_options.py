"""The options of `unimo2 eval`, each once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from unimo2.cli.console import VARIABLE


@dataclass(frozen=True)
class Options:
    """What was typed after a benchmark's name; as the arguments of `evals.run`."""

    model: str | None
    data_root: Path | None
    suite: str | None
    split: str | None
    limit: int | None
    device: str
    dtype: str | None
    batch_size: int | None
    features: Path | None
    seed: int
    output: Path
    fresh: bool
    zero_shot: bool = False
    contrastive_weight: float | None = None
    rerank: int | None = None
    score: str = "fused"
    templates: int = 1
    beam_size: int = 5
    object_tags: Path | None = None
    image_size: int | None = None


ZeroShot = Annotated[bool, typer.Option("--zero-shot", help="Take a pre-trained model as it is.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A card's name, a model folder, or 'finetuned' for the embedded weights fine-tuned for "
        "the benchmark, which is the default (with --zero-shot: 'mini')."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help=f"Folder of data sets in their official layouts; {VARIABLE} by default."),
]
SuiteName = Annotated[
    str | None, typer.Option(help="mini or paper; by default what the data root holds.")
]
Limit = Annotated[
    int | None, typer.Option(help="Only the first items (images of ImageNet: spread evenly).")
]
ContrastiveWeight = Annotated[
    float | None, typer.Option(help="w of itm + w * contrastive; the model's own by default.")
]
Rerank = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Fuse only the K best candidates of each query by contrastive score; else all.",
    ),
]
ObjectTags = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Names of the objects in each image, which captions are written with: JSON "
        '{"<image id or file name>": ["dog", ...]}, or COCO\'s instances_*.json.',
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Resize images to N x N pixels, a multiple of the patch size; the model's own by "
        "default.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16; the model's own by default.")
]
AutoDtype = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16, float16, or auto: bfloat16 where a sample is faster with the same "
        "ranks; the model's own by default."
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Items or pairs in one call; by default a long run times a few sizes."),
]
Features = Annotated[
    Path | None,
    typer.Option(
        help="A folder: what the towers give of each image, and of each text of retrieval, is kept "
        "there by content, for later runs of the same weights."
    ),
]
Seed = Annotated[int, typer.Option(help="Of the intervals' resampling.", min=0)]
Output = Annotated[Path, typer.Option(help="The runs folder.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Begin anew even if such a run was interrupted.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
