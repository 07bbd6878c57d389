"""Base of all adapters: strict loading, inference mode, batches of equal length, class names."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar, cast

import torch
from PIL.Image import Image
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from unimo2.devices import find_dtype
from unimo2.errors import BadCheckpoint, IncompatibleModel, Unimo2Error
from zoo.cards import Card
from zoo.feature_cache import FeatureStore
from zoo.protocols import StackedFeatures

# Items in one call: so many that the widest activation takes this much. More does not make a CPU
# faster; a GPU is kept busy by more.
_ACTIVATION_BYTES = {"cpu": 4 * 2**20, "cuda": 2**31}

# For transformers' Auto classes, which would ask on the terminal whether code beside weights may run.
READ_ONLY: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# More unknown tokens than this, and the tokenizer is hardly the model's.
_MOST_UNKNOWN = 0.25

logger = logging.getLogger(__name__)


class _HasModel(Protocol):
    @property
    def model(self) -> nn.Module: ...


Owner = TypeVar("Owner", bound=_HasModel)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def evaluated(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Make a method of an adapter run without gradients and dropout, also during training.

    Args:
        method: Of an object whose `model` is the module.

    Returns:
        The method; the model is put back into training mode if it was in it.
    """

    @wraps(method)
    def wrapped(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        training = self.model.training
        if training:
            self.model.eval()
        try:
            with torch.inference_mode():
                return method(self, *args, **kwargs)
        except (ValueError, TypeError, IndexError, KeyError, RuntimeError) as error:
            if not getattr(self, "foreign", False) or isinstance(error, torch.OutOfMemoryError):
                raise
            lines = str(error).strip().splitlines() or ["no reason given"]
            raise IncompatibleModel(
                f"model '{getattr(self, 'name', '')}' fails in {method.__name__} "
                f"({type(error).__name__}: {lines[0]})"
            ) from error
        finally:
            if training:
                self.model.train()

    return wrapped


class Adapter:
    """A model with a name, a digest and a device; families add the members of their capabilities.

    Attributes:
        similarity: How vectors of a dual encoder are meant to be compared: "cosine" where they
            have length 1, which evaluation restores after taking means of them; else "dot".
        foreign: Whether the model's code is another library's: what it raises is then one line that
            names the model.
        keeps_features: Whether towers go through `kept`, so that features can be kept on disk.
        activation_bytes: Memory of the widest activation of a call, by type of device.
        tokens_read: Tokens of all texts so far.
        unknown_tokens: Those of them that the tokenizer has no word for.
    """

    similarity: ClassVar[str] = "dot"
    foreign: ClassVar[bool] = True
    keeps_features: ClassVar[bool] = False
    activation_bytes: ClassVar[Mapping[str, int]] = _ACTIVATION_BYTES

    def __init__(self, name: str, model: nn.Module, weights_sha256: str) -> None:
        """Wrap a model.

        Args:
            name: The card's name, or the folder's.
            model: In evaluation mode, on its device.
            weights_sha256: Digest of its weights, as of `unimo2.formats.weights.weights_sha256`.
        """
        self.name = name
        self.model: Any = model
        self.weights_sha256 = weights_sha256
        self.features: FeatureStore | None = None
        self.batch_size = self.items_at_once()
        self.tokens_read = self.unknown_tokens = 0

    def counted(self, rows: list[list[int]], tokenizer: Any) -> list[list[int]]:
        """The token ids of texts, which are counted; a warning where many of the first are unknown."""
        unknown, specials = tokenizer.unk_token_id, (tokenizer.eos_token_id, tokenizer.pad_token_id)
        started = self.tokens_read > 0
        self.tokens_read += sum(map(len, rows))
        if unknown is not None and unknown not in specials:
            self.unknown_tokens += sum(row.count(unknown) for row in rows)
        if not started and self.unknown_tokens > self.tokens_read * _MOST_UNKNOWN:
            logger.warning(
                "model '%s': its tokenizer knows no token for %s of %s in the first texts",
                self.name, self.unknown_tokens, self.tokens_read,
            )  # fmt: skip
        return rows

    @property
    def rows(self) -> int:
        """Tokens of a usual item, for the choice of a batch size."""
        return 48

    @property
    def width(self) -> int:
        """Features of the widest activation, for the choice of a batch size."""
        config = getattr(self.model, "config", None)
        return int(getattr(config, "intermediate_size", None) or 3072)

    def items_at_once(self) -> int:
        """Items in one call, from the size of the feed-forward layers' activations."""
        number = next(self.model.parameters()).element_size()
        limits = self.activation_bytes
        wanted = limits.get(torch.device(self.device).type, limits["cpu"])
        return max(1, wanted // (self.rows * self.width * number))

    @property
    def device(self) -> str:
        """Where the model is, as torch spells it."""
        return str(next(self.model.parameters()).device)

    @property
    def dtype(self) -> str:
        """Of the weights, and so of the computation."""
        return str(next(self.model.parameters()).dtype).removeprefix("torch.")

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration, as in its config.json: nothing of where it lies."""
        fields = self.model.config.to_dict()
        return {name: value for name, value in fields.items() if not name.startswith("_")}

    def prepare_images(self, stacks: Sequence[StackedFeatures]) -> list[StackedFeatures]:
        """Return the stacks of all images that will be scored; a family may add to them."""
        return list(stacks)

    def keep_features(self, folder: Path | None) -> None:
        """Keep what the towers give in a folder, and read it from there; None to stop."""
        if not self.keeps_features:
            raise IncompatibleModel(
                f"model '{self.name}' cannot cache features: leave --features out"
            )
        self.features = None
        if folder is not None:
            self.features = FeatureStore(folder, self.weights_sha256, self.dtype, self.device)

    def kept(self, kind: str, given: Tensor, tower: Callable[[Tensor], Tensor]) -> Tensor:
        """What a tower makes of some items, from the folder of kept features where there is one."""
        if self.features is None:
            return tower(given)
        return self.features.through(kind, given, tower).to(self.device)

    def to_device(self, values: Any) -> Tensor:
        """A tensor of whole numbers on the model's device, or of others in its dtype too."""
        tensor = torch.as_tensor(values)
        precision = find_dtype(self.dtype) if tensor.is_floating_point() else None
        return tensor.to(self.device, precision)

    def in_batches(
        self, rows: Sequence[Sequence[int]], compute: Callable[[list[int]], Tensor]
    ) -> Tensor:
        """Results of texts, computed in batches of one length, so that nothing is padded.

        Args:
            rows: Token ids of each text.
            compute: Makes `[places, ...]` of a list of places in `rows`.

        Returns:
            `[rows, ...]`, in the order of `rows`.
        """
        results: dict[int, Tensor] = {}
        for places in equal_lengths(rows, self.batch_size):
            results.update(zip(places, compute(places), strict=True))
        return torch.stack([results[place] for place in range(len(rows))])

    def cuts(self, items: Sequence[Any]) -> Iterator[list[Any]]:
        """Items in lists of at most `batch_size`."""
        for start in range(0, len(items), self.batch_size):
            yield list(items[start : start + self.batch_size])


class TowerAdapter(Adapter):
    """A model of transformers whose widest activations are those of its vision tower."""

    @property
    def rows(self) -> int:
        """Patches and the class token."""
        vision = self.model.config.vision_config
        return int((vision.image_size // vision.patch_size) ** 2 + 1)

    @property
    def width(self) -> int:
        """Of the vision tower's feed-forward layers."""
        return int(self.model.config.vision_config.intermediate_size)


def equal_lengths(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Cut texts into batches that need no padding.

    Args:
        rows: Token ids of each text.
        batch_size: Texts of a batch at most.

    Yields:
        Places in `rows` of texts of one length, shortest first, in their order.
    """
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(len(row), []).append(place)
    for _, same in sorted(places.items()):
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def distinct(images: Sequence[Image]) -> tuple[list[Image], list[int]]:
    """The images of a call without repetitions, and for each item which of them is its own."""
    numbers: dict[int, int] = {}
    which = [numbers.setdefault(id(image), len(numbers)) for image in images]
    firsts = [which.index(number) for number in range(len(numbers))]
    return [images[place] for place in firsts], which


def class_names(config: PretrainedConfig) -> tuple[str, ...]:
    """Names of a head's columns, as its configuration has them."""
    names = cast(Mapping[int, str], config.id2label)
    return tuple(names[number] for number in sorted(names))


def columns(card: Card, found: Sequence[str]) -> tuple[str, ...]:
    """Names of a head's columns: the card's `labels`, or those of the model.

    Raises:
        BadCheckpoint: The card names another number of classes than the model has.
    """
    if not card.labels:
        return tuple(found)
    if len(card.labels) != len(found):
        raise BadCheckpoint(
            f"card '{card.name}' lists {len(card.labels)} labels where the model has {len(found)} "
            "classes: correct 'labels'"
        )
    return card.labels


def answer_names(folder: Path, card: Card, found: Sequence[str] = ()) -> tuple[str, ...]:
    """The answers that a model chooses among.

    Args:
        folder: Model folder.
        card: Its option "answers" names a JSON list in the folder; else its `labels` are the answers.
        found: The model's own names of its columns; none where it can generate instead.

    Returns:
        One per column, in their order; those of the model where the card has none.

    Raises:
        BadCheckpoint: The list cannot be read or is of another length, or nothing names the columns.
    """
    named = _json_list(folder / str(card.options["answers"])) if "answers" in card.options else ()
    named = named or card.labels
    if named and found and len(named) != len(found):
        raise BadCheckpoint(
            f"{folder}: {len(named)} answers where the model has {len(found)} columns"
        )
    if not named and found and all(re.fullmatch(r"LABEL_\d+", name) for name in found):
        raise BadCheckpoint(
            f"{folder}: nothing names the {len(found)} answers; list them in a card's 'labels', or in a "
            "JSON file of the folder that its option 'answers' names"
        )
    return tuple(named or found)


def _json_list(path: Path) -> tuple[str, ...]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
            return tuple(found)
    except (OSError, ValueError):
        pass
    raise BadCheckpoint(f"{path} is not a JSON list of answers")


@contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """Turn what a library raises or logs while it reads a folder into one line.

    Args:
        folder: Model folder, named in the line.
        what: What it is read as, for example "a CLIP model".

    Raises:
        BadCheckpoint: The library failed.
    """
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (Unimo2Error, torch.OutOfMemoryError):
        raise
    except Exception as error:  # libraries raise whatever a broken file leads them to
        if "trust_remote_code" in str(error):
            raise BadCheckpoint(
                f"{folder} needs the Python code that lies beside its weights, and none of it was run: "
                "read it, and if you trust it add --trust-remote-code"
            ) from None
        reason = " ".join(str(error).split())[:200] or "no reason given"
        raise BadCheckpoint(
            f"{folder} cannot be read as {what} ({type(error).__name__}: {reason}); fetch or save "
            "the folder again"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load_strictly(
    kind: Any,
    folder: Path,
    card: Card,
    dtype: torch.dtype,
    *,
    unused: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Load a transformers model whose weights must be exactly those of its class.

    Args:
        kind: Class with `from_pretrained`.
        folder: Model folder.
        card: Lists what may be new (`may_be_new`) or left over (`may_be_unused`), as regular
            expressions.
        dtype: Dtype of the model, whatever the file's.
        unused: Further expressions of weights that may be left over in this family.
        **options: For `from_pretrained`.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        BadCheckpoint: The folder cannot be read, or its weights differ from the class's.
    """
    name = kind.__name__.removeprefix("AutoModelFor")
    with loading(folder, name):
        model, info = kind.from_pretrained(
            folder,
            output_loading_info=True,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            **options,
        )
    shapes = [
        f"{key} {tuple(own)}, not {tuple(want)}" for key, own, want in info["mismatched_keys"]
    ]
    missing = set(info["missing_keys"]) - {key for key, *_ in info["mismatched_keys"]}
    refuse_differences(folder, type(model).__name__, shapes, missing, info["unexpected_keys"], card,
                       unused)  # fmt: skip
    return model.eval()


def refuse_differences(
    folder: Path,
    kind: str,
    shapes: Sequence[str],
    missing: Any,
    unexpected: Any,
    card: Card,
    unused: Sequence[str] = (),
) -> None:
    """Refuse weights that are mis-shaped, missing or left over, the first of these in one line.

    Raises:
        BadCheckpoint: What differs is not what the card lists as new or unused.
    """
    found = (
        ("have another shape than in", sorted(shapes), "take the weights of this configuration"),
        ("are missing, and would be random in", _beyond(missing, card.may_be_new),
         "fine-tune the model first, or take the weights of this class"),
        ("do not belong to", _beyond(unexpected, (*card.may_be_unused, *unused)),
         "take the class that the weights are of, or list them in a card's 'may_be_unused'"),
    )  # fmt: skip
    for problem, names, advice in found:
        if names:
            shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
            raise BadCheckpoint(
                f"{folder}: {len(names)} weights {problem} {kind}: {shown}; {advice}"
            )


def _beyond(names: Any, allowed: Sequence[str]) -> list[str]:
    patterns = [re.compile(pattern) for pattern in allowed]
    return sorted(name for name in names if not any(one.fullmatch(name) for one in patterns))


# Rows of an embedding beyond the tokenizer's words: padded to a multiple, or reserved.
_SPARE_ROWS = 1024


def refuse_other_words(tokenizer: PreTrainedTokenizerBase, rows: int, folder: Path) -> None:
    """Refuse a tokenizer that is not the model's, as the sizes show.

    Args:
        tokenizer: The folder's.
        rows: Tokens that the model has embeddings for.
        folder: For the message.

    Raises:
        BadCheckpoint: Token ids beyond the embedding, or far fewer of them than it has rows.
    """
    words = max(tokenizer.get_vocab().values()) + 1
    if words > rows or rows - words > max(_SPARE_ROWS, rows // 20):
        raise BadCheckpoint(
            f"{folder}: the tokenizer has {words} tokens where the model has embeddings for {rows}: "
            "it is another model's; put the model's own beside config.json"
        )


def read_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    """A folder's own tokenizer.

    Raises:
        BadCheckpoint: There is none, or it cannot be read.
    """
    with loading(folder, "a tokenizer"):
        options = {**READ_ONLY, "trust_remote_code": trust_remote_code}
        return AutoTokenizer.from_pretrained(folder, **options)


def image_processor(folder: Path, card: Card) -> Any:
    """A folder's own image processor of transformers.

    Args:
        folder: Holds preprocessor_config.json or processor_config.json.
        card: Its option "backend" chooses "pil" or "torchvision", which differ by up to one grey
            level after resizing; the library's own choice is torchvision.

    Returns:
        The processor.

    Raises:
        BadCheckpoint: There is none, or it cannot be read.
    """
    chosen = {"backend": card.options["backend"]} if "backend" in card.options else {}
    with loading(folder, "an image processor"):
        return AutoImageProcessor.from_pretrained(folder, **READ_ONLY, **chosen)


def processor_settings(processor: Any) -> dict[str, object]:
    """What an image processor does, fit for a record."""
    fields = {key: value for key, value in processor.to_dict().items() if value is not None}
    backend = "pil" if "pil" in type(processor).__name__.lower() else "torchvision"
    return {**json.loads(json.dumps(fields, default=str)), "backend": backend}
