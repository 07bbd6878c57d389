"""Training data: the samples of each step, and their tensors.

The order of samples and all random numbers of a step are functions of (seed, step): a resumed run
sees the same samples without any stored position. Pre-training and fine-tuning share the samplers
(`sampler`), the store of images (`images`), the tables of tokens (`texts`) and `batches`.
"""
