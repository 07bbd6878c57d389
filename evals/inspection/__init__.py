"""Inspection of a model's grounded dictionary and its effect."""
