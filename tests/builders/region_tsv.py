"""Features of image regions as the TSV files in use hold them."""

import base64

import numpy as np

SIZES = {"COCO_val2014_000000000042": (60, 50, 3), "7": (80, 50, 5), "photo": (100, 50, 4)}


def numbers():
    """Features and boxes in pixels of three images."""
    random = np.random.default_rng(0)
    return {
        name: (
            random.normal(size=(count, 6)).astype("<f4"),
            (random.uniform(size=(count, 4)) * [width, height, width, height]).astype("<f4"),
        )
        for name, (width, height, count) in SIZES.items()
    }


def tsv(path, lxmert=True, **changes):
    """Write three images as LXMERT's TSV, or that of bottom-up attention; returns the path."""
    coded = lambda array: base64.b64encode(array.tobytes()).decode()  # noqa: E731
    lines = []
    for name, (features, boxes) in numbers().items():
        width, height, count = SIZES[name]
        count, boxes = changes.get("count", count), boxes * changes.get("scale", 1)
        ids = coded(np.zeros(count, "int64"))
        columns = [coded(boxes.astype("<f4")), changes.get("features", coded(features))]
        if lxmert:
            row = [name, height, width, ids, ids, ids, ids, count, *columns]
        else:
            row = [name, width, height, count, *columns]
        lines.append("\t".join(str(value) for value in row))
    path.write_text("\n".join(lines[: changes.get("lines", 3)]) + "\n")
    return path
