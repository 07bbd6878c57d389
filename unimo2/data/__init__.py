"""Training data: which samples a step sees, and how they become tensors.

The order of samples and all random numbers of a step are functions of (seed, step): a resumed run
sees the same samples without any stored position.

    seeding.py      random numbers from (seed, step, purpose), and a process's share of a batch
    sampler.py      who comes when
    corpora.py      image-text pairs and labelled images from the official layouts
    images.py       decoding, and images held in memory or read when needed
    texts.py        token ids of texts, held in memory or made when needed
    pairs.py        images with captions (or with prompts made of labels), and images alone
    text_blocks.py  texts alone, in blocks
    tables.py       many strings and places of images in little memory
    augment.py      two views of an image: crop, rotation, colour distortion
    masking.py      which tokens are hidden
    batches.py      what a step holds
"""
