"""The metrics of `conf/metric/*.yaml`, ours and those of plugins: every file counts."""

from __future__ import annotations

from phonaut.config.plugins import registry
from phonaut.metrics import Metric, from_configs


def registered_metrics() -> dict[str, Metric]:
    """Metrics by name, in the order of their ranks.

    Raises:
        ValueError: a file is not YAML, or names no metric.
    """
    return from_configs(registry("metric"))
