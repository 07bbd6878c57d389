"""Speed, measured against the rate of matrix products and against others' code."""
