"""A display of progress that keeps what it is told."""


class Watching:
    """A display that keeps what it is told."""

    def __init__(self):
        self.current, self.told = None, []

    def __call__(self, news):
        """Take news."""
        self.current = news
        self.told.append(news)

    def line(self, text):
        """Let a line of its own pass."""

    def end(self, before):
        """Take back a stage."""
        self.current = before

    def stages(self):
        """The last number that each stage came to, and of how many."""
        return {one.doing: (one.done, one.total) for one in self.told if one.doing}
