"""The last step of training for retrieval: choosing the weight of the contrastive score."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

from unimo2.cli.console import is_first_process, say

# Images of the validation split that the weight of the contrastive score is chosen on: with five
# captions each a minute of scoring on two cores.
_WEIGHT_IMAGES = 200


def choose_retrieval_weight(folder: Path, root: Path, train_json: Path, device: str) -> None:
    """Choose w of `itm + w * contrastive` on Flickr30k's validation split and write it down.

    Args:
        folder: the model, whose config.json gets the weight.
        root: data root; without Flickr30k in it the weight stays as it is.
        train_json: gets how well each weight did.
        device: to score on.

    Of several launched processes the first chooses.
    """
    if not is_first_process():
        return
    import zoo
    from evals.retrieval.weight import choose_weight
    from unimo2.formats.karpathy import read_karpathy
    from unimo2.training.checkpoints import write_json
    from zoo.protocols import PairScorer, require

    annotations = root / "flickr30k" / "dataset_flickr30k.json"
    if not annotations.is_file():
        say(f"retrieval weight left as it is: no {annotations} to choose it on", err=True)
        return
    images = read_karpathy(annotations, root / "flickr30k" / "flickr30k-images", ["val"])
    images = images[:_WEIGHT_IMAGES]
    model = zoo.load(folder, device=device)
    require(model, "pair_scorer")
    choice = choose_weight(cast(PairScorer, model), images, report=lambda progress: None)
    for path, key, value in (
        (folder / "config.json", "contrastive_weight", choice.weight),
        (train_json, "retrieval_weight", asdict(choice)),
    ):
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {key: value})
    say(
        f"retrieval weight {choice.weight:g} (mean R@1 {choice.mean_recall_at_1:.1f} % on "
        f"{choice.images} validation images, {choice.captions} captions)"
    )
