"""One module per family of models: `load`, `capabilities` and, where needed, `recognises`."""
