"""Ceilings and floors of the embedded suite's benchmarks; see `__main__`.

ideal       retrieval: a reader who knows what every sentence says
captions    CIDEr: people's agreement with one another
colours     image classification by colours alone
blind, questions    VQA and SNLI-VE by the text alone
words       GLUE by words without their order
parts       which of them belong to which part
"""
