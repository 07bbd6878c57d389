"""Write the data of the package `easy-vqa` into the layout of VQA v2, for `unimo2 finetune vqa`.

easy-vqa (Victor Zhou, MIT licence) holds 5,000 images of one coloured shape and 48,248 questions
with 13 answers. Its training images become train and val (a tenth of them, to choose weights on),
its test images test-dev, whose answers lie where those of VQA's evaluation server would:

    pip install easy-vqa
    python examples/easy_vqa_data.py data/easy-vqa
    unimo2 finetune vqa --data-root data/easy-vqa --config mini-easy-vqa --output runs/easy-vqa
    unimo2 eval vqa --model runs/easy-vqa/model --data-root data/easy-vqa --split test-dev
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import easy_vqa
from PIL import Image

_ANNOTATORS = 10  # VQA v2 has ten answers a question; here they agree
_TEST_IMAGES_FROM = 10_000  # ids of images are unique over all splits

Asked = tuple[str, str, int]  # question, answer, image


def main() -> None:
    """Read the command line and write the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="data root to write")
    parser.add_argument("--val-share", type=float, default=0.1, help="of the training images")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of val")
    arguments = parser.parse_args()
    for line in write(arguments.folder, arguments.val_share, arguments.seed):
        print(line)


def write(root: Path, val_share: float = 0.1, seed: int = 0) -> list[str]:
    """Write all splits.

    Args:
        root: Data root; coco/ and vqa/ in it are filled.
        val_share: Share of the training images that become val.
        seed: Of that choice.

    Returns:
        A line a split: how many images and questions.
    """
    paths = easy_vqa.get_train_image_paths()
    images = sorted(paths)
    held = set(random.Random(seed).sample(images, round(val_share * len(images))))
    train = list(zip(*easy_vqa.get_train_questions(), strict=True))
    test = list(zip(*easy_vqa.get_test_questions(), strict=True))
    test_paths = easy_vqa.get_test_image_paths()
    shift = _TEST_IMAGES_FROM
    return [
        _split(root, "train2014", train, paths, set(images) - held, 0),
        _split(root, "val2014", train, paths, held, 0),
        _split(root, "test-dev2015", test, test_paths, set(test_paths), shift),
    ]


def _split(
    root: Path,
    subtype: str,
    asked: Iterable[Asked],
    paths: Mapping[int, str],
    chosen: Collection[int],
    shift: int,
) -> str:
    """Questions, annotations and images of one split."""
    folder = "test2015" if subtype.startswith("test") else subtype
    (root / "coco" / folder).mkdir(parents=True, exist_ok=True)
    for image in chosen:
        target = root / "coco" / folder / f"COCO_{folder}_{image + shift:012d}.jpg"
        with Image.open(paths[image]) as picture:
            picture.convert("RGB").save(target, quality=95, subsampling=0)
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (question, answer, image) in enumerate(asked):
        if image not in chosen:
            continue
        ids = {"question_id": 100_000 * (shift > 0) + number, "image_id": image + shift}
        questions.append({**ids, "question": question})
        annotations.append({**ids, **_annotation(answer)})
    annotated = f"vqa/v2_mscoco_{subtype}_annotations.json"
    if folder == "test2015":
        annotated = f"vqa/server/v2_mscoco_{subtype}_annotations.json"
    _write(root / f"vqa/v2_OpenEnded_mscoco_{subtype}_questions.json", {"questions": questions})
    _write(root / annotated, {"annotations": annotations})
    return f"{subtype}: {len(chosen):,} images, {len(questions):,} questions"


def _annotation(answer: str) -> dict[str, Any]:
    """What VQA v2 says of a question: here all annotators agree."""
    given = [
        {"answer": answer, "answer_confidence": "yes", "answer_id": number}
        for number in range(1, _ANNOTATORS + 1)
    ]
    kind = "yes/no" if answer in ("yes", "no") else "other"
    return {"answer_type": kind, "multiple_choice_answer": answer, "answers": given}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
