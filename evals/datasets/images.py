"""Decodes every image of a data set on all processors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from unimo2.errors import Unimo2Error
from unimo2.formats.shards import ImageSource

_CHUNK = 256  # images decoded together; bounds what waits in memory


class ImageCheck:
    """Takes the path of every image that is there; decodes them all, or only counts them."""

    def __init__(
        self, decodes: bool = False, on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Set up.

        Args:
            decodes: Decode the images; otherwise they are only counted.
            on_progress: Called with the number of images decoded so far.
        """
        self.decodes = decodes
        self.seen = 0
        self.undecodable = 0
        self.first = ""  # the message about the first of them
        self._on_progress = on_progress
        self._waiting: list[ImageSource] = []

    def see(self, path: ImageSource) -> None:
        """Take one image."""
        self.seen += 1
        if self.decodes:
            self._waiting.append(path)
            if len(self._waiting) >= _CHUNK:
                self._decode()

    def problems(self) -> list[str]:
        """Finish; a line about the images that cannot be decoded, if there are any."""
        self._decode()
        if not self.undecodable:
            return []
        return [f"{self.undecodable:,} of {self.seen:,} images cannot be read, first: {self.first}"]

    def _decode(self) -> None:
        if not self._waiting:
            return
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
            faults = [fault for fault in pool.map(_fault, self._waiting) if fault]
        self.first = self.first or next(iter(faults), "")
        self.undecodable += len(faults)
        self._waiting.clear()
        if self._on_progress is not None:
            self._on_progress(self.seen)


def _fault(path: ImageSource) -> str:
    """Why an image cannot be decoded; "" if it can."""
    from unimo2.formats.images import load_image

    try:
        load_image(path)
    except Unimo2Error as error:
        return str(error)
    return ""
