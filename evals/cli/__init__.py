"""The verbs that drive this package; `unimo2.cli.app` knows them by name."""
