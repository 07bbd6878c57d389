"""Fixtures for the evaluation tests."""

from pathlib import Path

import pytest

from builders.retrieval_fakes import write_flickr


@pytest.fixture
def flickr_root(tmp_path: Path) -> Path:
    """A data root with a Flickr30k of 20 coloured squares, five captions each, all test."""
    return write_flickr(tmp_path / "data", images=20)
