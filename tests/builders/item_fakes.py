"""Tiny data sets in their official layouts, and models that follow a script, for tests.

The oracle models know the truth by what a picture or sentence shows: pictures are squares of one
colour, which says what they are.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.protocols import ItemFeatures, StackedFeatures

LABELS = ("entailment", "neutral", "contradiction")
ANSWERS = ("yes", "no", "2", "red", "blue", "on the table")
TYPES = ("yes/no", "yes/no", "number", "other", "other", "other")
NOUNS = ("dog", "cat", "house", "tree", "car")


def picture(path: Path, number: int) -> None:
    """A square that shows a number below 512, three bits a colour, so that JPEG keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(32 * (number // base % 8) + 16 for base in (1, 8, 64))
    Image.new("RGB", (8, 8), colour).save(path, quality=100)


def shown(image: Image.Image) -> int:
    """The number that a square shows."""
    red, green, blue = (value // 32 for value in image.getpixel((4, 4)))
    return red + 8 * green + 64 * blue


class Fake:
    """What every adapter says of itself."""

    device, dtype, weights_sha256 = "cpu", "float32", "b" * 64
    settings = {"fake": True}

    def __init__(self, name: str = "fake", batch_size: int = 3) -> None:
        """Make one; `calls` counts the items that it has seen."""
        self.name = name
        self.batch_size = batch_size
        self.calls = 0


# -- VQA


def vqa_truth(question: int) -> int:
    """Number of the answer to a question."""
    return (question // 7) % len(ANSWERS)


def write_vqa(
    root: Path, split: str = "val2014", questions: int = 40, server: bool = False
) -> Path:
    """Questions about pictures, three each; eight of ten annotators agree."""
    images = "test2015" if split.startswith("test") else split
    ids = [7 * number + 1 for number in range(questions)]
    asked, truth = [], []
    for number, key in enumerate(ids):
        image = 100 + number // 3
        picture(root / f"coco/{images}/COCO_{images}_{image:012d}.jpg", image)
        text = f"question {key} " + "about it " * (number % 4)
        asked.append({"question_id": key, "image_id": image, "question": text})
        answer = ANSWERS[vqa_truth(key)]
        said = [answer] * 8 + ["maybe", "perhaps"]
        truth.append(
            {
                "question_id": key, "image_id": image, "question_type": f"type {number % 2}",
                "answer_type": TYPES[vqa_truth(key)], "multiple_choice_answer": answer,
                "answers": [
                    {"answer": text, "answer_confidence": "yes", "answer_id": place + 1}
                    for place, text in enumerate(said)
                ],
            }
        )  # fmt: skip
    folder = root / "vqa"
    (folder / "server").mkdir(parents=True, exist_ok=True)
    path = folder / f"v2_OpenEnded_mscoco_{split}_questions.json"
    path.write_text(json.dumps({"questions": asked}))
    hidden = split.startswith("test")
    if not hidden or server:
        home = folder / "server" if hidden else folder
        path = home / f"v2_mscoco_{split}_annotations.json"
        path.write_text(json.dumps({"annotations": truth}))
    return root


class FakeAnswerer(Fake):
    """Answers by the question's number; `constant` instead, or wrong for every `wrong`-th."""

    def __init__(self, constant: str | None = None, wrong: int = 0, **options) -> None:
        """Make one."""
        super().__init__(**options)
        self.constant, self.wrong = constant, wrong

    def answer(self, images, questions) -> list[str]:
        """Answer as the script says; the picture must be the question's."""
        self.calls += len(questions)
        assert all(shown(image) >= 100 for image in images)
        keys = [int(text.split()[1]) for text in questions]
        if self.constant is not None:
            return [self.constant] * len(keys)
        answers = [ANSWERS[vqa_truth(key)] for key in keys]
        off = [self.wrong and (key // 7) % self.wrong == 0 for key in keys]
        return ["wrong" if bad else text for text, bad in zip(answers, off, strict=True)]


# -- SNLI-VE


def write_snli_ve(root: Path, split: str = "dev", pairs: int = 30) -> Path:
    """Hypotheses about pictures, two each; every tenth has no majority label."""
    rows = []
    for number in range(pairs):
        image = 200 + number // 2
        picture(root / f"flickr30k/flickr30k-images/{image}.jpg", image)
        label = "-" if number % 10 == 9 else LABELS[(2 * number + image) % 3]
        rows.append(
            {
                "Flickr30K_ID": str(image), "gold_label": label, "pairID": f"{image}.jpg#{number}",
                "sentence1": "a square", "sentence2": f"hypothesis {number}" + " long" * (number % 3),
            }
        )  # fmt: skip
    path = root / "snli_ve" / f"snli_ve_{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


class FakePairClassifier(Fake):
    """Knows the label by picture and sentence; always `constant` instead."""

    pair_classes = ("Contradiction", "Entailment", "Neutral")

    def __init__(self, constant: str | None = None, **options) -> None:
        """Make one."""
        super().__init__(**options)
        self.constant = constant

    def classify_pairs(self, images, texts) -> Tensor:
        """Logits in the model's own order of classes."""
        self.calls += len(texts)
        numbers = [int(text.split()[1]) for text in texts]
        labels = [
            self.constant or LABELS[(2 * number + shown(image)) % 3]
            for number, image in zip(numbers, images, strict=True)
        ]
        columns = [[name.lower() for name in self.pair_classes].index(label) for label in labels]
        return torch.nn.functional.one_hot(torch.tensor(columns), 3).float()


# -- COCO


def caption_of(number: int) -> str:
    """What is to be said of a picture."""
    return f"a {NOUNS[number % 5]} stands near a {NOUNS[(number // 5) % 5]} in the park"


def write_coco(root: Path, images: int = 12, split: str = "test") -> Path:
    """Karpathy's COCO: pictures with two captions."""
    entries = []
    for number in range(images):
        name = f"COCO_val2014_{300 + number:012d}.jpg"
        picture(root / "coco" / "val2014" / name, number)
        raws = [caption_of(number), f"there is a {NOUNS[number % 5]} outside"]
        sentences = [
            {"sentid": 2 * number + k, "imgid": number, "raw": raw, "tokens": raw.split()}
            for k, raw in enumerate(raws)
        ]
        entries.append(
            {
                "imgid": number, "cocoid": 300 + number, "filename": name, "filepath": "val2014",
                "split": split, "sentences": sentences,
            }
        )  # fmt: skip
    path = root / "coco" / "dataset_coco.json"
    path.write_text(json.dumps({"dataset": "coco", "images": entries}))
    return root


class FakeCaptioner(Fake):
    """Says the first reference of a picture, with `wrong` in place of its last word."""

    def __init__(self, wrong: str = "", **options) -> None:
        """Make one."""
        super().__init__(**options)
        self.wrong = wrong

    def caption(self, images, beam_size: int) -> list[str]:
        """One caption an image."""
        self.calls += len(images)
        texts = [caption_of(shown(image)) for image in images]
        return [text.replace("park", self.wrong) if self.wrong else text for text in texts]


class FakeTagReader(FakeCaptioner):
    """Says the first reference and the tags that it was given."""

    def caption_with_tags(self, images, tags, beam_size: int) -> list[str]:
        """One caption an image."""
        texts = self.caption(images, beam_size)
        return [" ".join([text, *names]) for text, names in zip(texts, tags, strict=True)]


# -- ImageNet

LAST = "n00009999"


def write_imagenet(root: Path, classes: int = 6, images: int = 4, flat: bool = False) -> Path:
    """Synset folders, or val as distributed; a picture's number is its class's.

    There is one more class, without images: "n00009999 class99".
    """
    lines, solution = [], ["ImageId,PredictionString"]
    for number in range(classes):
        wnid = f"n{number:08d}"
        lines.append(f"{wnid} class{number}, other name {number}\n")
        for place in range(images):
            name = f"ILSVRC2012_val_{number * images + place + 1:08d}"
            folder = root / "imagenet" / "val" / ("" if flat else wnid)
            folder.mkdir(parents=True, exist_ok=True)
            square = Image.new("RGB", (8, 8), (number, 0, 50 * place))
            square.save(folder / f"{name}.JPEG", format="PNG")
            solution.append(f"{name},{wnid} 0 0 7 7 ")
    lines.append(f"{LAST} class99, nothing\n")
    (root / "imagenet" / "LOC_synset_mapping.txt").write_text("".join(lines))
    if flat:
        (root / "imagenet" / "LOC_val_solution.csv").write_text("\n".join(solution) + "\n")
    return root


class FakeImageClassifier(Fake):
    """Logits by the picture's number, the classes in reverse order."""

    def __init__(self, classes: int = 6, constant: bool = False, **options) -> None:
        """Make one; all logits are equal if `constant`."""
        super().__init__(**options)
        self.image_classes = [LAST] + [f"n{number:08d}" for number in reversed(range(classes))]
        self.constant = constant

    def classify_images(self, images) -> Tensor:
        """One logit a class."""
        self.calls += len(images)
        rows = torch.zeros(len(images), len(self.image_classes))
        for row, image in enumerate(images):
            column = self.image_classes.index(f"n{image.getpixel((4, 4))[0]:08d}")
            rows[row, column] = 0.0 if self.constant else 1.0
        return rows


class NoisyScorer(Fake):
    """Scores pictures with sentences such as "a photo of class3": right with much noise."""

    contrastive_weight = 0.5

    def encode_images(self, images) -> list[ItemFeatures]:
        """The colour of each picture."""
        return [
            ItemFeatures({"colour": torch.tensor(image.getpixel((4, 4))).float()})
            for image in images
        ]

    def encode_texts(self, texts) -> list[ItemFeatures]:
        """The class that a sentence names, and a number for its wording."""
        numbers = [int("".join(filter(str.isdigit, text))) for text in texts]
        wordings = [float(sum(text.encode()) % 97) for text in texts]
        return [
            ItemFeatures({"number": torch.tensor(float(n)), "wording": torch.tensor(w)})
            for n, w in zip(numbers, wordings, strict=True)
        ]

    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Parts and their weighted sum."""
        self.calls += len(images)
        colour = images.tensors["colour"]
        noise = torch.sin(colour.sum(-1) + text.tensors["wording"])
        itm = -(colour[:, 0] - text.tensors["number"]).abs() + 2 * noise
        contrastive = self.contrastive_scores(images, text)
        return {
            "score": itm + self.contrastive_weight * contrastive,
            "itm": itm,
            "contrastive": contrastive,
        }

    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """A rougher score, a dot product of what `embed_images` and `embed_texts` give."""
        return self._image(images.tensors["colour"]) @ self._text([text])[0]

    def embed_images(self, images) -> Tensor:
        """`[images, 4]`."""
        return self._image(torch.stack([f.tensors["colour"] for f in self.encode_images(images)]))

    def embed_texts(self, texts) -> Tensor:
        """`[texts, 4]`."""
        return self._text(self.encode_texts(texts))

    @staticmethod
    def _image(colour: Tensor) -> Tensor:
        red = colour[:, 0]
        light = torch.sin(colour[:, 2]) + 1.5
        return torch.stack([-(red**2), red, torch.ones_like(red), light], dim=1)

    @staticmethod
    def _text(texts) -> Tensor:
        rows = []
        for text in texts:
            number, wording = text.tensors["number"], text.tensors["wording"]
            off = 2 * wording.cos() + 3 * (2.3 * number).cos()  # makes it wrong now and then
            parts = [torch.tensor(1.0), 2 * number, -(number**2), off]
            rows.append(torch.stack(parts))
        return torch.stack(rows)


# -- GLUE


def write_glue(root: Path, rows: int = 24) -> Path:
    """The four tasks as GLUE distributes them; a sentence's number tells its label."""
    glue = root / "glue"
    for name in ("SST-2", "CoLA", "STS-B", "MNLI"):
        (glue / name).mkdir(parents=True, exist_ok=True)
    texts = [f"sentence {n}" + " more" * (n % 3) for n in range(rows)]
    body = "".join(f"{text} \t{n % 2}\n" for n, text in enumerate(texts))
    (glue / "SST-2/dev.tsv").write_text("sentence\tlabel\n" + body)
    body = "".join(f"{n}\t{text}\n" for n, text in enumerate(texts))
    (glue / "SST-2/test.tsv").write_text("index\tsentence\n" + body)
    (glue / "CoLA/test.tsv").write_text("index\tsentence\n" + body)
    body = "".join(f"gj04\t{n % 2}\t\t{text}\n" for n, text in enumerate(texts))
    (glue / "CoLA/dev.tsv").write_text(body)
    columns = "index\tgenre\tsentence1\tsentence2"
    body = "".join(f"{n}\tnews\t{text}\tsecond" for n, text in enumerate(texts)).split("second")
    lines = [line + "second" for line in body if line]
    scored = "".join(f"{line}\t{n % 6 * 0.9:.3f}\n" for n, line in enumerate(lines))
    (glue / "STS-B/dev.tsv").write_text(f"{columns}\tscore\n{scored}")
    plain = "".join(f"{line}\n" for line in lines)
    (glue / "STS-B/test.tsv").write_text(f"{columns}\n{plain}")
    names = ("contradiction", "entailment", "neutral")
    for kind, shift in (("matched", 0), ("mismatched", 1)):
        labelled = "".join(
            f"{line}\t{'-' if n == 5 else names[(n + shift) % 3]}\n" for n, line in enumerate(lines)
        )
        (glue / f"MNLI/dev_{kind}.tsv").write_text(f"{columns}\tgold_label\n{labelled}")
        (glue / f"MNLI/test_{kind}.tsv").write_text(f"{columns}\n{plain}")
    return root


class FakeTextClassifier(Fake):
    """Reads a sentence's number; `period` classes, or the number itself for one column."""

    def __init__(self, classes: tuple[str, ...], constant: bool = False, **options) -> None:
        """Make one; `constant` says the first class, or the number 1, of everything."""
        super().__init__(**options)
        self.text_classes = classes
        self.constant = constant

    def classify_texts(self, first, second) -> Tensor:
        """Logits, or numbers."""
        self.calls += len(first)
        numbers = np.array([int(text.split()[1]) for text in first])
        if self.constant:
            numbers = 0 * numbers + (1 if len(self.text_classes) == 1 else 0)
        if len(self.text_classes) == 1:
            return torch.tensor(numbers % 6 * 0.9)[:, None].float()
        kinds = len(self.text_classes)
        return torch.nn.functional.one_hot(torch.tensor(numbers % kinds), kinds).float()


class SlowPairClassifier(FakePairClassifier):
    """Sleeps before each call."""

    delay = 0.0

    def classify_pairs(self, images, texts) -> Tensor:
        """As the script says, later."""
        time.sleep(self.delay)
        return super().classify_pairs(images, texts)


def run_slowly(root: Path, output: Path, delay: float) -> None:
    """A run in a process of its own, to be killed or to share; prints the pairs it classified."""
    import evals
    from evals.distributed import launched

    model = SlowPairClassifier("neutral")
    model.delay = delay
    evals.run("snli_ve", model=model, split="dev", data_root=root, output=output, share=launched())
    print(model.calls)
