"""Models of the Hugging Face hub, from the local cache where they are whole there."""

from __future__ import annotations

import re
from pathlib import Path

from unimo2.errors import BadCheckpoint, MissingData
from zoo.cards import Source
from zoo.weights import weight_files

# owner/name[@revision]; a path begins with a dot or slash, or exists.
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?")
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja", "*.spm", "*.py")
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

    lacks = "nothing of it is in the cache"
    try:
        folder = Path(
            snapshot_download(source.location, revision=source.revision, local_files_only=True)
        )
        lacks = _lacks(folder)
        if not lacks:
            return folder
    except LocalEntryNotFoundError:
        pass
    try:
        for patterns in (_FILES, ("*.bin",)):
            folder = Path(
                snapshot_download(
                    source.location,
                    revision=source.revision,
                    allow_patterns=list(patterns),
                    ignore_patterns=list(_OTHERS),
                )
            )
            lacks = _lacks(folder)
            if not lacks:
                return folder
        reason = "the hub has no more"
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise MissingData(
        f"cannot fetch '{source.location}' from the hub ({reason}); {lacks}; "
        "copy config.json, the weights and the tokenizer's or processor's files into a folder and "
        "give that as the model"
    )


def _lacks(folder: Path) -> str:
    """What a snapshot lacks for loading, in words; "" if nothing."""
    if not any((folder / name).is_file() for name in ("config.json", "open_clip_config.json")):
        return "the cached copy lacks config.json"
    try:
        weight_files(folder)
    except (MissingData, BadCheckpoint):
        return "the cached copy lacks files of weights"
    return ""
