"""Training a single tower: a ViT on labels or on views of images, RoBERTa on masked tokens.

The paper starts from a ViT that was trained on ImageNet-21k and from RoBERTa (section 4). These are
the same at any size: what they leave is read by `unimo2.modeling.towers`, and by timm and transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional
from transformers import RobertaForMaskedLM

from unimo2.data.batches import Batch, ImageBatch, LabelledBatch, TextBatch
from unimo2.data.corpora import read_labelled
from unimo2.data.images import ImageStore
from unimo2.data.pairs import ImageCorpus, LabelledCorpus
from unimo2.data.seeding import Shard, seeded_weights
from unimo2.data.tables import ImageLocations
from unimo2.data.text_blocks import TextCorpus, blocks, text_folders
from unimo2.data.texts import TokenTable
from unimo2.formats.parsing import Skips
from unimo2.formats.plain_text import text_lines
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import MlmHead, Unimo2PreTrainedModel
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.modeling.text import TextTransformer, roberta_config
from unimo2.modeling.vision import VisualTransformer
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.training.checkpoints import save_model, write_folder
from unimo2.training.curriculum import augmentation, masking_spec
from unimo2.training.distributed import mean_cross_entropy
from unimo2.training.losses import nt_xent
from unimo2.training.pretraining import model_config
from unimo2.training.recipes import Recipe
from unimo2.training.trainer import TrainingTask

# A plain ViT of timm: all its sizes are overridden.
_TIMM_NAME = "vit_tiny_patch16_224"


class _Tower(Unimo2PreTrainedModel):
    """A tower under its loss: a module that the trainer can train."""

    config: Unimo2Config

    def start(self, seed: int) -> None:
        """Initial weights, from the seed."""
        with seeded_weights(seed):
            self.post_init()

    def write(self, folder: Path, processor: Unimo2Processor, dtype: str) -> None:
        """Save the tower in the form of the library that it is known to."""
        raise NotImplementedError


class LabelledVit(_Tower):
    """The Visual Transformer with a classifier over its class row."""

    def __init__(self, config: Unimo2Config, names: list[str], seed: int) -> None:
        super().__init__(config)
        self.names = names
        self.vision = VisualTransformer(config)
        self.head = nn.Linear(config.hidden_size, len(names))
        self.start(seed)

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Cross entropy "loss", and "accuracy": the first choice is one of the image's names."""
        logits = self.head(self.vision(batch.pixel_values)[:, 0])  # [b, classes]
        loss = functional.cross_entropy(logits.float(), batch.labels)
        best = logits.detach().argmax(dim=1, keepdim=True)
        return {"loss": loss, "accuracy": (batch.labels.gather(1, best) > 0).float().mean()}

    def write(self, folder: Path, processor: Unimo2Processor, dtype: str) -> None:
        """As a model of timm with its classifier."""
        state = self.vision.vit.state_dict()
        state |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        _save_vit(self.config, state, self.names, folder, dtype)


class ContrastedVit(_Tower):
    """The Visual Transformer under SimCLR's loss (Chen et al., 2020)."""

    def __init__(self, config: Unimo2Config, temperature: float, seed: int) -> None:
        super().__init__(config)
        self.temperature, width = temperature, config.hidden_size
        self.vision = VisualTransformer(config)
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.start(seed)

    def forward(self, batch: ImageBatch) -> dict[str, Tensor]:
        """The "loss" of views, and the "accuracy" of finding a view's other view."""
        features = self.projection(self.vision(batch.views)[:, 0])
        loss, accuracy = nt_xent(functional.normalize(features.float(), dim=-1), self.temperature)
        return {"loss": loss, "accuracy": accuracy}

    def write(self, folder: Path, processor: Unimo2Processor, dtype: str) -> None:
        """As a model of timm without classifier."""
        _save_vit(self.config, self.vision.vit.state_dict(), [], folder, dtype)


class MaskedRoberta(_Tower):
    """The Text Transformer with RoBERTa's head over masked words."""

    def __init__(self, config: Unimo2Config, seed: int) -> None:
        super().__init__(config)
        with seeded_weights(seed):  # RoBERTa draws its own weights, which `start` then leaves alone
            self.text = TextTransformer(config)
        self.mlm = MlmHead(config)
        self.start(seed)

    def forward(self, batch: TextBatch) -> dict[str, Tensor]:
        """Cross entropy "loss" and "accuracy" over the masked tokens."""
        hidden = self.text(batch.masked_ids, batch.attention_mask)
        rows, labels = selected_rows(hidden, batch.labels)
        embedding = self.text.roberta.embeddings.word_embeddings.weight
        logits = self.mlm(rows, embedding).float()  # [selected, vocabulary]
        right = (logits.detach().argmax(dim=1) == labels)[labels != IGNORED]
        return {"loss": mean_cross_entropy(logits, labels), "accuracy": right.float().mean()}

    def write(self, folder: Path, processor: Unimo2Processor, dtype: str) -> None:
        """As `RobertaForMaskedLM` of transformers, with its tokenizer."""
        theirs = RobertaForMaskedLM(roberta_config(self.config))
        theirs.roberta.load_state_dict(self.text.roberta.state_dict())
        theirs.lm_head.dense.load_state_dict(self.mlm.dense.state_dict())
        theirs.lm_head.layer_norm.load_state_dict(self.mlm.norm.state_dict())
        theirs.lm_head.bias.data.copy_(self.mlm.bias.data)
        save_model(theirs, processor.tokenizer, folder, dtype)


def _save_vit(
    config: Unimo2Config, state: dict[str, Tensor], names: list[str], folder: Path, dtype: str
) -> None:
    """Write a ViT as timm does, so that `timm.create_model("local-dir:FOLDER")` reads it."""
    sizes: dict[str, Any] = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.hidden_size,
        "depth": config.vision_layers,
        "num_heads": config.vision_attention_heads or config.num_attention_heads,
        "mlp_ratio": (config.intermediate_size + 0.5) / config.hidden_size,
    }
    model = timm.create_model(_TIMM_NAME, num_classes=len(names), **sizes)
    model.load_state_dict(state)
    half = model.to(getattr(torch, dtype))
    described = {"label_names": names} if names else None
    write_folder(
        folder,
        lambda partial: save_for_hf(
            half, str(partial), described, model_args=sizes, safe_serialization=True
        ),
    )


class TowerTask(TrainingTask):
    """A tower, its loss and its corpus, as a task of the trainer."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        """Read the corpus and build the tower of a recipe.

        Raises:
            UsageError: or one of its kinds (MissingData, BadData).
        """
        self.config = recipe.training
        self.skips = Skips()
        self.objective: _Tower
        self.corpus: TextCorpus | ImageCorpus
        self._batch: Callable[[int, Shard], Batch]
        if self.config.trains == "words":
            self._with_texts(recipe, root)
        else:
            self._with_images(recipe, root)
        self.model = self.objective

    def batch(self, step: int, share: Shard) -> Batch:
        """A part of the batch of a step."""
        return self._batch(step, share)

    def _with_texts(self, recipe: Recipe, root: Path) -> None:
        folders = text_folders(root, self.config.text_sets)
        lines = [line for folder in folders for line in text_lines(folder, self.skips)]
        tokenizer = train_tokenizer((line.text for line in lines), self.config.vocab_size)
        config = model_config(recipe, len(tokenizer))
        self.processor = Unimo2Processor(tokenizer, config.image_size)
        packed = TokenTable(blocks(lines, self.processor, self.config.text_limit))
        texts = TextCorpus(packed, self.processor, self.config.text_limit)
        masking = masking_spec(tokenizer, self.config, self.config.text_limit)
        self.corpus, self.objective = texts, MaskedRoberta(config, self.config.seed)
        self._batch = lambda step, share: texts.batch(
            step, self.config.text_batch, self.config.seed, masking, share
        )

    def _with_images(self, recipe: Recipe, root: Path) -> None:
        training, config = self.config, model_config(recipe)
        found = list(read_labelled(root, training.image_sets, self.skips))
        # Pictures need no words: the tokenizer is only there because a processor has one.
        tokenizer = train_tokenizer((), 300)
        self.processor = Unimo2Processor(tokenizer, config.image_size)
        places = ImageLocations(image.path for image in found)
        store = ImageStore(places, config.image_size, held=True, workers=training.workers)
        size, seed, views = training.image_batch, training.seed, augmentation(training)
        if training.trains == "labels":
            labelled = LabelledCorpus(store, [image.texts for image in found], self.processor)
            self.corpus, self.objective = labelled, LabelledVit(config, labelled.names, seed)
            views = replace(views, gray_share=0.0)  # names speak of colours
            self._batch = lambda step, share: labelled.labelled_batch(
                step, size, seed, views, share
            )
        else:
            corpus = ImageCorpus(store, self.processor)
            self.corpus = corpus
            self.objective = ContrastedVit(config, training.vcl_temperature, seed)
            self._batch = lambda step, share: corpus.batch(step, size, seed, views, share)

    def identity(self) -> dict[str, Any]:
        """Model and corpus."""
        facts = {"model": self.model.config.to_diff_dict(), "trains": self.config.trains}
        return facts | {"corpora": self.corpus.describe()}

    def save(self, folder: Path, dtype: str) -> None:
        """Write the tower."""
        self.objective.write(folder, self.processor, dtype)
