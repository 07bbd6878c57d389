"""UNIMO-2: end-to-end unified vision-language grounded learning, in PyTorch.

The public names are loaded when they are first used, so that `unimo2 --help` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unimo2.modeling.configuration import Unimo2Config
    from unimo2.modeling.generation import generate
    from unimo2.modeling.model import Unimo2Model, Unimo2Output
    from unimo2.modeling.towers import from_towers
    from unimo2.processing import Unimo2Processor

__all__ = [
    "Unimo2Config",
    "Unimo2Model",
    "Unimo2Output",
    "Unimo2Processor",
    "__version__",
    "from_towers",
    "generate",
]
__version__ = "0.1.0"

_HOMES = {
    "Unimo2Config": "unimo2.modeling.configuration",
    "Unimo2Model": "unimo2.modeling.model",
    "Unimo2Output": "unimo2.modeling.model",
    "Unimo2Processor": "unimo2.processing",
    "from_towers": "unimo2.modeling.towers",
    "generate": "unimo2.modeling.generation",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unimo2' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
