"""Running text over the mini world: what its text corpora and its GLUE tasks are written with.

narrator     one scene, told in true sentences
opinions     words of praise and blame
everyday     general English that is about no scene
lessons      what follows from what, and what words mean
books, pages paragraphs of the two text corpora
"""
