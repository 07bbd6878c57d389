"""The checkpoint that the authors released for Paddle, and the way to ours and back."""
