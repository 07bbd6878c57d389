"""The corpus of web pages: about a megabyte of reviews, questions, comparisons and notices."""

from __future__ import annotations

from evals.suite_mini.prose.corpus import TextPart

PART = TextPart(name="openwebtext", paragraphs=4_800, paragraphs_a_file=200, stem="urlsf_subset-")
