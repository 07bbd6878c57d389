"""The words of the mini world: several for everything, as different people would choose them."""

from __future__ import annotations

Words = tuple[str, ...]

# (singular, plural)
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs"), ("ball", "balls"), ("disk", "disks")),
    "square": (("square", "squares"), ("box", "boxes"), ("block", "blocks")),
    "triangle": (("triangle", "triangles"), ("pyramid", "pyramids"), ("wedge", "wedges")),
    "star": (("star", "stars"), ("five-pointed star", "five-pointed stars")),
    "heart": (("heart", "hearts"), ("heart shape", "heart shapes"), ("valentine", "valentines")),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs"), ("cross shape", "cross shapes")),
    "ring": (("ring", "rings"), ("hoop", "hoops"), ("donut", "donuts"), ("loop", "loops")),
    "moon": (("moon", "moons"), ("crescent", "crescents"), ("half moon", "half moons")),
    "flower": (("flower", "flowers"), ("blossom", "blossoms"), ("daisy", "daisies")),
    "house": (("house", "houses"), ("hut", "huts"), ("cottage", "cottages"), ("cabin", "cabins")),
    "fish": (("fish", "fish"), ("swimming fish", "swimming fish"), ("fish", "fishes")),
    "tree": (("tree", "trees"), ("leafy tree", "leafy trees"), ("round tree", "round trees")),
}

COLOUR_WORDS: dict[str, Words] = {
    "red": ("red", "crimson", "scarlet", "bright red"),
    "orange": ("orange", "tangerine", "carrot-coloured"),
    "yellow": ("yellow", "golden", "lemon yellow"),
    "green": ("green", "emerald", "dark green"),
    "blue": ("blue", "royal blue", "cobalt", "deep blue"),
    "purple": ("purple", "violet", "plum-coloured"),
    "pink": ("pink", "rosy", "light pink"),
    "black": ("black", "jet black", "inky"),
    "white": ("white", "snow white", "pale white"),
}

SIZE_WORDS: dict[str, Words] = {
    "small": ("small", "little", "tiny", "mini", "petite"),
    "large": ("large", "big", "huge", "giant", "great"),
}

# (before the noun, after the noun)
TEXTURE_WORDS: dict[str, tuple[Words, Words]] = {
    "plain": (("plain", "solid", "unpatterned"), ("without a pattern", "in one colour")),
    "striped": (("striped", "stripy", "banded"), ("with stripes", "covered in stripes")),
    "dotted": (("dotted", "spotted", "polka-dot"), ("with dots", "with spots")),
}

RELATION_WORDS: dict[str, Words] = {
    "left": ("to the left of", "left of", "on the left side of"),
    "right": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "underneath", "lower than"),
    "beside": ("next to", "beside", "right beside", "side by side with"),
}

PLACE_WORDS: dict[str, Words] = {
    "top left": ("in the top left corner", "at the upper left", "in the upper left corner"),
    "top middle": ("at the top centre", "in the upper middle", "in the top middle"),
    "top right": ("in the top right corner", "at the upper right", "in the upper right corner"),
    "middle left": ("at the middle left", "halfway down the left", "at the centre left"),
    "middle": ("in the middle", "in the centre", "in the very center"),
    "middle right": ("at the middle right", "halfway down the right", "at the centre right"),
    "bottom left": ("in the bottom left corner", "at the lower left", "in the lower left corner"),
    "bottom middle": ("at the bottom centre", "in the lower middle", "in the bottom middle"),
    "bottom right": (
        "in the bottom right corner",
        "at the lower right",
        "in the lower right corner",
    ),
    "top": ("at the top", "along the upper edge", "near the top edge"),
    "bottom": ("at the bottom", "along the lower edge", "near the bottom edge"),
    "left": ("on the left", "on the left side", "near the left edge"),
    "right": ("on the right", "on the right side", "near the right edge"),
}

BACKGROUND_PHRASES: dict[str, Words] = {
    "paper": ("on lined paper", "on ruled paper", "on a sheet of paper", "on a notebook page"),
    "night": ("in the night sky", "in a dark sky", "against the starry sky", "at night"),
    "sea": ("on the sea", "in the water", "among the waves", "on the ocean"),
    "meadow": ("on the grass", "in a meadow", "on a green lawn", "in a grassy field"),
    "sand": ("on the sand", "on a sandy beach", "on the beach", "in the desert"),
    "bricks": ("on a brick wall", "against a wall of bricks", "in front of a brick wall"),
    "planks": ("on a wooden floor", "on wooden boards", "on planks", "on brown wood"),
    "tiles": ("on grey tiles", "on a tiled floor", "on gray tiles", "on a tiled wall"),
}

BACKGROUND_NAMES: dict[str, Words] = {
    "paper": ("lined paper", "notebook page", "paper"),
    "night": ("night sky", "dark sky", "night"),
    "sea": ("sea", "water", "waves"),
    "meadow": ("grass", "meadow", "lawn"),
    "sand": ("sand", "beach", "desert"),
    "bricks": ("brick wall", "bricks"),
    "planks": ("wooden floor", "wood", "planks"),
    "tiles": ("grey tiles", "tiled floor", "tiles"),
}

NUMBERS: dict[int, Words] = {
    2: ("two", "a pair of", "a couple of"),
    3: ("three", "a trio of", "a group of three"),
    4: ("four", "a group of four"),
}

THINGS: Words = ("things", "shapes", "objects", "figures", "items")
OPENINGS: Words = (
    "there is",
    "you can see",
    "here we see",
    "this picture shows",
    "the image shows",
    "a picture of",
    "a drawing of",
    "one can see",
    "we can see",
    "look at",
)
STANDING: Words = ("sits", "stands", "is", "lies", "rests", "is placed", "is found", "can be seen")
HANGING: Words = ("hangs", "floats", "appears", "hovers", "shows up", "is drawn", "is painted")
JOINTS: Words = ("and", "along with", "together with", "plus", "as well as")
