"""What the parts of a model hold, and whether it matters."""
