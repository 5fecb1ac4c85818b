"""Every setting: its unit, its default, its check.

Scalars come from ``THUMBQ_*`` variables or from ``thumbq.toml`` (the variable wins), presets and routes from the
file. Endpoints, region, profile and credentials are not here: they are botocore's own variables.
"""

from thumbq.settings.loading import file_in_use, load, load_with_places, only_queue
from thumbq.settings.model import Settings
from thumbq.settings.queues import QueueConfig, QueueTable

__all__ = [
    "QueueConfig",
    "QueueTable",
    "Settings",
    "file_in_use",
    "load",
    "load_with_places",
    "only_queue",
]
