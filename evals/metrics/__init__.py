"""Metrics: functions of scores, predictions and targets that know nothing of models."""
