"""What the rows of an ablation share, and where each is trained, fine-tuned and noted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.ablation.columns import RETRIEVAL, GridColumn
from evals.ablation.rows import AblationRow, data_fingerprint, digest
from evals.datasets.suites import Suite
from evals.training import finetune_recipe

if TYPE_CHECKING:
    from unimo2.training.finetuning.config import FinetuneRecipe

# In a row's folder, once its training is complete; the choice of its retrieval weight is noted last.
TRAINED = "trained.json"


@dataclass(frozen=True)
class Study:
    """What all rows of an ablation share beside their recipe.

    Attributes:
        suite: The data.
        output: The runs folder.
        device: "auto", "cpu" or "cuda".
        limit: Evaluate on the first items only; None for the whole splits.
        rerank: K of the shortlist by contrastive score whose pairs alone are fused; None to fuse
            every image with every text. Rows of different protocols are different rows.
        columns: What every row is measured on.
        tuning: Changes of the recipes of fine-tuning, as of `--set`.
        towers: Folders of the embedded models that recipes name as towers; None for the package's.
    """

    suite: Suite
    output: Path
    device: str = "auto"
    limit: int | None = None
    rerank: int | None = None
    columns: tuple[GridColumn, ...] = (RETRIEVAL,)
    tuning: tuple[str, ...] = ()
    towers: Mapping[str, Path] | None = None
    # Recipes and conditions are the same for many rows, and take reading files.
    _kept: dict[tuple[Any, ...], Any] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def folder(self, row: AblationRow) -> Path:
        """Where a row is trained; one folder a training, so that nothing else resumes there.

        A row of the same training under another name may have been there first.
        """
        home = self.output / "ablation" / self.suite.name
        return next(iter(sorted(home.glob(f"*-{row.key}"))), home / f"{row.variant}-{row.key}")

    def tower_folders(self) -> Mapping[str, Path]:
        """The folders of `towers`."""
        import zoo

        return zoo.embedded_folders() if self.towers is None else self.towers

    def tower_weights(self, row: AblationRow) -> dict[str, str | None]:
        """The sha256 of each embedded tower that a row starts from; None where it is not there yet.

        Other towers are known by their names in the recipe only.
        """
        named = row.recipe.training.vision_tower, row.recipe.training.text_tower
        folders = self.tower_folders()
        return {name: self._weights(folders[name]) for name in named if name in folders}

    def starts_alike(self, row: AblationRow, told: Mapping[str, Any]) -> bool:
        """Whether the embedded towers are still those of a training; `told` is what is kept of it."""
        return bool(told.get("towers", {}) == self.tower_weights(row))

    def _weights(self, folder: Path) -> str | None:
        from unimo2.formats.weights import weights_sha256

        key = ("weights", folder)
        if key not in self._kept and folder.is_dir():
            self._kept[key] = weights_sha256(folder)
        found: str | None = self._kept.get(key)
        return found

    def base(self, row: AblationRow) -> Path:
        """The folder of the model that is evaluated and fine-tuned, in `model`.

        It is that of the training, unless parts of the trained model are switched off.
        """
        folder = self.folder(row)
        return folder / f"switched-{digest(row.inference)[:8]}" if row.inference else folder

    def recipe(self, row: AblationRow, column: GridColumn) -> FinetuneRecipe:
        """The fine-tuning of a column: that of the rows' recipe or size, with the row's seed."""
        name, seed = row.recipe.name, row.training["seed"]
        width = row.training["model"]["hidden_size"]
        key = ("recipe", column.benchmark, width, seed, name)
        if key not in self._kept:
            changes = [f"seed={seed}", *self.tuning]
            self._kept[key] = finetune_recipe(column.benchmark, width, None, changes, name)
        found: FinetuneRecipe = self._kept[key]
        return found

    def tuned(self, row: AblationRow, column: GridColumn) -> Path:
        """Where a row is fine-tuned for a column; one folder for each recipe."""
        key = digest(_settings(self.recipe(row, column)))[:8]
        return self.base(row) / "finetune" / f"{column.benchmark}-{key}"

    def measured(self, row: AblationRow, column: GridColumn) -> Path:
        """The folder of the model that a column measures, in `model`."""
        return self.base(row) if column.zero_shot else self.tuned(row, column)

    def shortlist(self, column: GridColumn) -> int | None:
        """K of a column's evaluation."""
        return self.rerank if column.scores_pairs else None

    def conditions(self, row: AblationRow, column: GridColumn) -> dict[str, Any]:
        """What a column's numbers depend on beside the row's training, for its record.

        Retrieval's data is part of the training's.
        """
        told: dict[str, Any] = {}
        if column.benchmark != RETRIEVAL.benchmark:
            told["data"] = self._data(column.dataset)
        if not column.zero_shot:
            recipe = self.recipe(row, column)
            told["recipe"], told["seed"] = recipe.name, recipe.training.seed
            told["settings"] = digest(_settings(recipe, seed=False))[:8]
        return told

    def _data(self, dataset: str) -> str:
        key = ("data", dataset)
        if key not in self._kept:
            self._kept[key] = data_fingerprint(self.suite, [dataset])
        return str(self._kept[key])


def _settings(recipe: FinetuneRecipe, seed: bool = True) -> dict[str, Any]:
    """The fields of a fine-tuning that its weights depend on."""
    fields = recipe.training.identity()
    kept = {name: value for name, value in fields.items() if seed or name != "seed"}
    return {"training": kept, "model": dict(recipe.model)}


def trained_facts(folder: Path) -> dict[str, Any]:
    """What is noted of a row's complete training; nothing where it is not complete."""
    return facts_in(folder / TRAINED)


def facts_in(path: Path) -> dict[str, Any]:
    """The values of a JSON file; nothing where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
