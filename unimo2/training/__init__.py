"""One training loop, what it can train, and the recipes."""
