"""The embedded suite: a drawn world, written to disk in the formats of the real data sets.

README.md in this folder says how scenes, captions, questions, claims and texts are made, and where.
"""

from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.suite import default_root, ensure, make_suite, read_suite

__all__ = ["SuiteRequest", "default_root", "ensure", "make_suite", "read_suite"]
