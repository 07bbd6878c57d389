"""The authors' released Paddle checkpoint, and conversion to ours and back."""
