"""Models of the Hugging Face hub, from the local cache if they are complete there."""

from __future__ import annotations

import re
from pathlib import Path

from unimo2.errors import BadCheckpoint, MissingData
from unimo2.formats.weights import weight_files
from zoo import registry
from zoo.cards import Source

# owner/name[@revision]; a path begins with a dot or slash, or exists.
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?")
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja", "*.spm", "*.py")
_FILES_OF = {
    "tokenizer": (
        *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"),
        *("sentencepiece.bpe.model", "spm.model"),
    ),
    "image_processor": ("preprocessor_config.json", "processor_config.json"),
}
_OTHERS = ("onnx/*", "openvino/*", "coreml/*", "runs/*")


def source_of(text: str) -> Source:
    """The source of a hub id, `owner/name` or `owner/name@revision`."""
    location, _, revision = text.partition("@")
    return Source("hub", location, revision or None)


def fetch(source: Source) -> Path:
    """The folder of a hub model's files; only what the cache lacks is fetched.

    Respects HF_HUB_OFFLINE, HF_HOME and the token of the hub's own client.

    Raises:
        MissingData: The cache lacks files, and the hub cannot be reached or does not have them.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    lacks = "it is not in the cache"
    try:
        folder = Path(
            snapshot_download(source.location, revision=source.revision, local_files_only=True)
        )
        lacks = ", ".join([*_lacks(folder, source), *_lacks_beside(folder)])
        if not lacks:
            return folder
        lacks = f"the cached copy lacks {lacks}"
    except LocalEntryNotFoundError:
        pass
    own = (source.file,) if source.file else ()
    try:
        for patterns in ((*_FILES, *own), ("*.bin",)):
            folder = Path(
                snapshot_download(
                    source.location,
                    revision=source.revision,
                    allow_patterns=list(patterns),
                    ignore_patterns=list(_OTHERS),
                )
            )
            # What else a folder needs may not exist on the hub: its family says so.
            if not _lacks(folder, source):
                return folder
        reason = "the hub has no more"
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise MissingData(
        f"cannot fetch '{source.location}' from the hub ({reason}); {lacks}; "
        "copy config.json, the weights and the tokenizer's or processor's files into a folder and "
        "give that as the model"
    )


def _lacks(folder: Path, source: Source) -> list[str]:
    """Required files that a snapshot lacks, in words."""
    if source.file:
        return [] if (folder / source.file).is_file() else [source.file]
    if not any((folder / name).is_file() for name in ("config.json", "open_clip_config.json")):
        return ["config.json"]
    try:
        weight_files(folder)
    except (MissingData, BadCheckpoint):
        return ["files of weights"]
    return []


def _lacks_beside(folder: Path) -> list[str]:
    """What else its family wants and a snapshot lacks: tokenizer or image processor, in words."""
    return [
        f"the {what.replace('_', ' ')}'s files"
        for what in registry.needs(folder)
        if not any((folder / name).is_file() for name in _FILES_OF[what])
    ]
