"""The network and nothing else: towers, grounding, fusion, heads and generation."""
