"""Per-query results of a retrieval run, and recalls computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evals.benchmark import SampleMetric
from evals.metrics.ranking import RECALL_AT, Ints, Ranking, hits_at

if TYPE_CHECKING:
    import pandas as pd

PLACE = ("better", "tied_wrong", "tied_right")  # columns that recalls need


def frame(
    rankings: Mapping[str, tuple[Ranking, Ranking]],
    image_ids: Ints,
    caption_ids: Ints,
    caption_image: Ints,
) -> pd.DataFrame:
    """One row per caption (image retrieval), then one per image (text retrieval).

    Args:
        rankings: Image and text retrieval by "score" and by its parts alone.
        image_ids: `[images]`.
        caption_ids: `[captions]`.
        caption_image: `[captions]`, index of each caption's image.

    Returns:
        The samples.
    """
    import pandas as pd

    by_caption = {name: images for name, (images, _) in rankings.items()}
    by_image = {name: texts for name, (_, texts) in rankings.items()}
    owner = image_ids[caption_image]
    rows = [
        _rows("image_retrieval", by_caption, caption_ids, image_ids, owner),
        _rows("text_retrieval", by_image, image_ids, caption_ids, image_ids),
    ]
    return pd.concat(rows, ignore_index=True)


def _rows(
    task: str, rankings: Mapping[str, Ranking], queries: Ints, candidates: Ints, images: Ints
) -> pd.DataFrame:
    """The samples of one direction; `image` is the unit that intervals resample.

    Of a part of the score alone only the truth's place is kept, as `better[itm]` and so on.
    """
    import pandas as pd

    ranking = rankings["score"]
    places = {
        f"{column}[{name}]": getattr(part, column)
        for name, part in rankings.items()
        if name != "score"
        for column in PLACE
    }
    return pd.DataFrame(
        {
            "task": task,
            "query": queries,
            "image": images,
            "rank": ranking.rank,
            "better": ranking.better,
            "tied_wrong": ranking.tied_wrong,
            "tied_right": ranking.tied_right,
            "truth": candidates[ranking.truth],
            "truth_score": ranking.truth_score,
            "best": candidates[ranking.best],
            "best_score": ranking.best_score,
            **places,
        }
    )


def metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The recalls of a run's samples; an image's captions are one unit.

    Args:
        samples: As `frame` makes them.

    Returns:
        By the names of the record's metrics.
    """
    suffixes = [c.removeprefix("better") for c in samples.columns if c.startswith("better")]
    found = {}
    for suffix in suffixes:
        for task in ("image_retrieval", "text_retrieval"):
            rows = samples[samples["task"] == task]
            places = [rows[f"{column}{suffix}"].to_numpy(dtype=np.int64) for column in PLACE]
            for k in RECALL_AT:
                found[f"{task}/R@{k}{suffix}"] = SampleMetric.mean(
                    rows["query"], rows["image"], hits_at(k, *places)
                )
    return found
