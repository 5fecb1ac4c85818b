"""What was counted, series by series, as families of prometheus_client.

Its own counters take a lock, and look at each bucket, for each thing that happens: four times the CPU time of these, to
which one thread adds.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from thumbq.telemetry.families import BY_NAME, FAMILIES, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BOUNDS: Final = {
    "http_request_duration_seconds": (*_SHORT, math.inf),
    "stage_duration_seconds": (*_SHORT, 60, 300, 1800, math.inf),
}


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Times:
    """How many times of about each length there were, and all of them together."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def add(self, seconds: float, trace_id: str | None = None) -> None:
        """Count a time, of this trace."""
        place = bisect_left(self._bounds, seconds)
        self._counts[place] += 1
        self._sum += seconds
        if trace_id is not None:
            self._exemplars[place] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def told(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the series to its family."""
        bounds = map(floatToGoString, self._bounds)
        exemplars = map(self._exemplars.get, range(len(self._counts)))
        buckets = [
            (bound, number) if exemplar is None else (bound, number, exemplar)
            for bound, number, exemplar in zip(bounds, accumulate(self._counts), exemplars, strict=True)
        ]
        family.add_metric(labels, buckets, self._sum)


class Counted:
    """A collector of prometheus_client's, which makes each series when it is asked for first."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts: dict[str, dict[tuple[str, ...], Count]] = {}
        self._times: dict[str, dict[tuple[str, ...], Times]] = {}
        for family in FAMILIES:
            if family.kind == "counter":
                self._counts[family.name] = {} if family.labels else {(): Count()}
            elif family.kind == "histogram":
                self._times[family.name] = {}
        registry.register(self)

    def has(self, name: str, *labels: str) -> None:
        """Have a series from now on."""
        if name in self._times:
            self.times(name, *labels)
        else:
            self.count(name, *labels)

    def count(self, name: str, *labels: str) -> Count:
        """Return the series of a counter with these values of its labels."""
        return self._counts[name].setdefault(labels, Count())

    def times(self, name: str, *labels: str) -> Times:
        """Return the series of a histogram with these values of its labels."""
        return self._times[name].setdefault(labels, Times(_BOUNDS[name]))

    def collect(self) -> Iterator[Metric]:
        """Yield all counters and histograms as they are now."""
        for name, counts in self._counts.items():
            counter = CounterMetricFamily(PREFIX + name, BY_NAME[name].text, labels=BY_NAME[name].labels)
            for labels, count in counts.items():
                counter.add_metric(labels, count.value)
            yield counter
        for name, all_times in self._times.items():
            histogram = HistogramMetricFamily(PREFIX + name, BY_NAME[name].text, labels=BY_NAME[name].labels)
            for labels, times in all_times.items():
                times.told(histogram, labels)
            yield histogram
