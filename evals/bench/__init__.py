"""Speed of the retrieval protocol and of dual encoders' towers, against plain loops and matmuls."""
