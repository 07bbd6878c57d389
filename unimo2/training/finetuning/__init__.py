"""Fine-tuning for every task of the paper (section 4, Tables 8 and 9), on the one trainer.

A task is read from its official files into training data (`readers`), trained by an objective
(`classification`, `retrieval`, `captioning`) and put together by `tasks.build`.
"""
