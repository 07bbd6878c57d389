"""What each patch of a picture shows, by its scene graph: the truth for what a model's parts hold."""

from __future__ import annotations

from pathlib import Path

from evals.suite_mini.captioned import flickr_entries, scene_of
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.suite import read_suite
from evals.suite_mini.world import GRID, Scene

ATTRIBUTES = ("shape", "colour", "texture", "size", "place", "background")
NOTHING = "nothing"
"""The shape, colour, texture and size of a cell without a thing."""


def flickr_scenes(root: Path) -> dict[str, Scene] | None:
    """Scene graphs of Flickr30k's pictures by file name; None where the data is no embedded suite."""
    suite = read_suite(root)
    if suite is None or "flickr_test" not in suite:
        return None
    request = SuiteRequest(suite["seed"], suite["scale"], suite["flickr_test"])
    return {entry.filename: scene_of(request.seed, entry) for entry in flickr_entries(request)}


def patch_values(scene: Scene, grid: int) -> list[tuple[str, ...]]:
    """The `ATTRIBUTES` of every patch.

    Args:
        scene: What the picture shows.
        grid: Patches along a side.

    Returns:
        A tuple for each patch, row by row. A patch belongs to the cell that holds its middle.
    """
    things = {thing.cell: thing for thing in scene.things}
    values: list[tuple[str, ...]] = []
    for patch in range(grid * grid):
        row, column = ((2 * place + 1) * GRID // (2 * grid) for place in divmod(patch, grid))
        thing = things.get(row * GRID + column)
        shown = (NOTHING,) * 4
        if thing is not None:
            shown = (thing.shape, thing.colour, thing.texture, thing.size)
        values.append((*shown, str(row * GRID + column), scene.background))
    return values
