"""Configuration of the UNIMO-2 model, as transformers saves and loads it."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

from unimo2.modeling.fields import ModelFields


class Unimo2Config(ModelFields, PretrainedConfig):
    """Sizes and switches of a UNIMO-2 model.

    The defaults are the paper's base model (section 4): ViT-B/16, RoBERTa-base and a Grounded
    Transformer of 12 layers each, a dictionary of C = 2048 rows, K = 100 of them chosen.
    Where the released code does something the paper does not say, there is a switch;
    `Unimo2Config.released()` sets them all as the released code has them.
    """

    model_type = "unimo2"

    def __init__(self, **kwargs: Any) -> None:
        """Store the fields, and those of `transformers.PretrainedConfig`, and check ours.

        Raises:
            UsageError: A value that is not possible, with the field's name.
        """
        own = {name: kwargs.pop(name, default) for name, default in self.own_fields().items()}
        PretrainedConfig.__init__(self, **kwargs)
        # The base class has fields of the same names in some versions: ours come last.
        for name, value in own.items():
            setattr(self, name, value)
        self.check()


# transformers' auto classes read config.json first, and warn about a type that they do not know.
AutoConfig.register(Unimo2Config.model_type, Unimo2Config, exist_ok=True)
