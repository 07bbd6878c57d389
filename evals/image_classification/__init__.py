"""Classifying images by prompts, by captions or by a linear probe of frozen features."""
