"""The arithmetic of docs/scale.md, from the figures of README and the prices of docs/operations.md."""

from __future__ import annotations

import math
import re

from support import documents
from support.documents import OPERATIONS, README, SCALE

RATES = (10, 1_000, 10_000)
BUSY, CORES = 0.7, 2
MONTH_S = 30 * 86_400
WRITES, READS = 3_500, 5_500


def rows(document: str, heading: str) -> list[list[str]]:
    lines = documents.section(document, heading).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def number(text: str) -> float:
    found = re.match(r"[\d,.]+", text)
    assert found, text
    return float(found[0].strip(",.").replace(",", ""))


def test_replicas_are_what_the_cpu_of_a_job_needs() -> None:
    figures = documents.section(README, "Figures")
    found = rows(SCALE, "Replicas")[1:]
    assert len(found) == 3
    for _, cpu, *replicas in found:
        assert cpu in figures
        assert [math.ceil(rate * number(cpu) / 1000 / BUSY / CORES) for rate in RATES] == [*map(number, replicas)]


def test_shares_of_what_s3_takes_for_a_partition() -> None:
    for _, writes, reads, *shares in rows(SCALE, "S3")[1:]:
        assert [round(100 * rate * number(writes) / WRITES) for rate in RATES[1:]] == [*map(number, shares)]
        assert number(reads) * RATES[-1] / READS < number(writes) * RATES[-1] / WRITES


def test_a_month_costs_what_a_million_does_times_the_millions() -> None:
    of_a_million = {row[0]: row[-1] for row in rows(OPERATIONS, "Cost")}
    s3 = number(of_a_million["S3, writes"]) + number(of_a_million["S3, reads"])
    sqs = number(of_a_million["SQS"].rpartition(" to ")[2])
    logs = number(of_a_million["Logs"])
    total = [number(each) for each in of_a_million["Together"].split(" to ")]
    least, most = (
        sum(
            number(text.split(" to ")[end]) if " to " in text else number(text)
            for text in list(of_a_million.values())[1:-1]
        )
        for end in (0, 1)
    )
    assert [round(least, 2), round(most, 2)] == total
    found = rows(SCALE, "Cost")[1:]
    assert len(found) == 3
    for rate, (shown, pictures, *costs) in zip(RATES, found, strict=True):
        millions = rate * MONTH_S / 1e6
        assert number(shown) == rate
        assert number(pictures) == round(millions)
        for cost, of_one in zip((costs[0], costs[1], costs[3]), (s3, sqs, logs), strict=True):
            assert number(cost) == round(of_one * millions)
    [_, (_, mix, *replicas), _] = rows(SCALE, "Replicas")[1:]
    hour = 0.0494
    assert number(mix) == 23
    for (_, _, _, _, cpu, _), count in zip(found[1:], replicas[1:], strict=True):
        assert number(cpu) == round(number(count) * CORES * MONTH_S / 3600 * hour)
