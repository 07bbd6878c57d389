"""The corpus of books and encyclopedia articles: about a megabyte of running text."""

from __future__ import annotations

from evals.suite_mini.prose.corpus import TextPart

PART = TextPart(name="bookwiki", paragraphs=4_400, paragraphs_a_file=400, stem="book-")
