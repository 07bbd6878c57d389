"""One module a family of models: `load`, `capabilities` and, where needed, `recognises`."""
