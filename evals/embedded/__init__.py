"""The models that come with the package: how each is trained, measured, and put where it is found."""

from evals.embedded.models import PRETRAINED, EmbeddedModel, embedded_models, install
from evals.embedded.reproducing import Measurement, Reproduction

__all__ = [
    "PRETRAINED",
    "EmbeddedModel",
    "Measurement",
    "Reproduction",
    "embedded_models",
    "install",
]
