"""Settings of property-based tests, the same in every run."""

from hypothesis import HealthCheck, settings


def drawn(examples: int) -> settings:
    """So many examples, whatever the machine's speed; nothing is kept between runs."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
