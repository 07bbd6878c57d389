"""Makers of tiny data sets, models and runs, and fakes, for the tests."""
