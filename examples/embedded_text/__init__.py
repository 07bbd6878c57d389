"""The generator of the embedded suite's texts; see `__main__`.

narrator, everyday, lessons, opinions   what all of them are worded with
books, pages, corpora   the two text corpora
sst2, sentiment         what a sentence thinks of a picture
cola, grammar, faults   sentences word by word, and what can be wrong with them
mnli, claims, hypotheses, entailment    what follows from a description
stsb, likeness, variation               how much two descriptions share
telling, wording        descriptions of scenes for both
"""
