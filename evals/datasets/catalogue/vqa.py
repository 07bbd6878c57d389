"""VQA v2: questions about COCO's photos."""

from __future__ import annotations

from evals.datasets.entry import DataSet, Official, Place
from evals.datasets.vqa_check import check_vqa

_SOURCE = "download page of visualqa.org"
_DEV = "literature; the download page does not count test-dev"
_ANSWERS = "compute_softscore.py of bottom-up-attention-vqa, and everybody since"

DATA_SET = DataSet(
    name="vqa",
    title="VQA v2.0",
    role="benchmark",
    about="Questions about COCO's photos with ten human answers each, balanced so that a question "
    "alone does not tell the answer; the answers of the test splits are on a server.",
    licence="CC BY 4.0 (questions and answers); photos as for COCO.",
    source="https://visualqa.org/download.html (Balanced Real Images, v2.0)",
    places=(
        Place(("vqa/v2_OpenEnded_mscoco_train2014_questions.json",), "training questions"),
        Place(("vqa/v2_mscoco_train2014_annotations.json",), "training answers"),
        Place(("vqa/v2_OpenEnded_mscoco_val2014_questions.json",), "validation questions"),
        Place(("vqa/v2_mscoco_val2014_annotations.json",), "validation answers"),
        Place(("vqa/v2_OpenEnded_mscoco_test-dev2015_questions.json",), "test-dev questions"),
        Place(("vqa/v2_OpenEnded_mscoco_test2015_questions.json",), "all test questions"),
        Place(("coco/train2014/",), "COCO_train2014_*.jpg", needed=False),
        Place(("coco/val2014/",), "COCO_val2014_*.jpg", needed=False),
        Place(("coco/test2015/",), "COCO_test2015_*.jpg", needed=False),
    ),
    official=(
        Official("train", "questions", 443_757, _SOURCE, "444K"),
        Official("val", "questions", 214_354, _SOURCE, "214K"),
        Official("test-dev", "questions", 107_394, _DEV, "448K"),
        Official("test-std", "questions", 447_793, _SOURCE, "107K"),
        Official("train", "annotations", 443_757, _SOURCE),
        Official("val", "annotations", 214_354, _SOURCE),
        Official("train+val", "frequent answers", 3_129, _ANSWERS),
        Official("train", "images", 82_783, "COCO train2014", "83K"),
        Official("val", "images", 40_504, "COCO val2014", "41K"),
        Official("test-dev", "images", 81_434, "COCO test2015", "81K"),
        Official("test-std", "images", 81_434, "COCO test2015", "81K"),
    ),
    notes=(
        "the paper's table 7 swaps the heads test-dev and test-std: test-dev has 107K questions, "
        "test-std 448K (all of test2015, as the server takes them)",
        "frequent answers are the most common answer of nine questions or more in train and val; "
        "a classifier chooses among them",
    ),
    look_alikes={
        658_111: "train and val together",
        248_349: "the training questions of VQA v1",
        121_512: "the validation questions of VQA v1",
        244_302: "the test questions of VQA v1",
    },
    benchmark="vqa",
    verify=check_vqa,
)
