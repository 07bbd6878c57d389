"""Words of praise and blame. Each is one or the other whatever it is said of."""

from __future__ import annotations

GOOD_ADJECTIVES = (
    "wonderful",
    "lovely",
    "charming",
    "delightful",
    "beautiful",
    "brilliant",
    "clever",
    "graceful",
    "lively",
    "cheerful",
    "elegant",
    "splendid",
    "touching",
    "superb",
    "pleasing",
    "masterly",
)
BAD_ADJECTIVES = (
    "dull",
    "boring",
    "ugly",
    "clumsy",
    "lifeless",
    "awful",
    "terrible",
    "messy",
    "sloppy",
    "dreary",
    "pointless",
    "careless",
    "tedious",
    "bland",
    "hideous",
    "dreadful",
)
GOOD_NOUNS = ("joy", "delight", "pleasure", "treat", "triumph", "gem", "success")
BAD_NOUNS = ("bore", "mess", "failure", "disappointment", "mistake", "disaster", "nuisance")
GOOD_VERBS = (
    ("delight", "delights"),
    ("please", "pleases"),
    ("charm", "charms"),
    ("impress", "impresses"),
    ("enchant", "enchants"),
)
"""What a picture does to those who see it: (plural, singular)."""
BAD_VERBS = (
    ("bore", "bores"),
    ("annoy", "annoys"),
    ("disappoint", "disappoints"),
    ("tire", "tires"),
    ("irritate", "irritates"),
)
GOOD_FEELINGS = ("love", "admire", "enjoy", "like", "adore")
"""What those who see a picture do."""
BAD_FEELINGS = ("hate", "dislike", "detest", "loathe", "despise")
PLURAL_ASPECTS = ("colours", "lines", "shapes", "brush strokes", "shadows", "contours")
SINGULAR_ASPECTS = (
    "drawing",
    "composition",
    "background",
    "idea",
    "style",
    "picture",
    "painting",
    "sketch",
)
