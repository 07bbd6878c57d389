"""One training loop, what it can train, and the recipes."""

# Files in the folder of a training; the second is written at its end.
LOG, SUMMARY = "log.jsonl", "train.json"
RETRIEVAL_WEIGHT = "retrieval_weight"  # entry of the second, once the weight is chosen
