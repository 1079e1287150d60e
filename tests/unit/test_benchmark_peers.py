"""What the front page shows of the benchmark."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from support.harness import find_benchmarks

if TYPE_CHECKING:
    from pathlib import Path

find_benchmarks()

from benchmarks import peers  # noqa: E402
from benchmarks.summary import Spread  # noqa: E402


def test_the_front_page_has_a_plot_for_light_and_dark_pages(tmp_path: Path):
    rates = {"ours": Spread(400, 300, 500), "aws": Spread(100, 100, 100)}
    # A handler that computes nothing is no peer.
    rates["mms"] = Spread(9000, 9000, 9000)
    behind = Spread(math.inf, math.inf, math.inf)
    made = {"rate json-small": rates, "p99 rate-1000": {"ours": Spread(2, 1, 3), "aws": behind}}
    drawn = {path.name: path.read_text() for path in peers.draw(made, tmp_path, "full")}
    assert list(drawn) == ["full-peers.svg", "full-peers-dark.svg"]
    for text, colour in zip(drawn.values(), ("#1f2328", "#e6edf3"), strict=True):
        assert re.search(r'<svg [^>]*fill="(.*)">', text)[1] == colour
        assert re.findall(r"<text [^>]*>(.*)</text>", text) == [
            *("this project", "AWS toolkit on MMS"),
            *("JSON 1\u00d74, requests/s", "400", "100"),
            *("p99 at 1,000 requests/s, ms", "2", "cannot keep up"),
        ]
        assert re.findall(r'<rect .* width="([\d.]*)"', text) == ["150.0", "37.5", "150.0"]


def test_contenders_without_a_number_have_an_empty_line(tmp_path: Path):
    behind = Spread(math.inf, math.inf, math.inf)
    made = {"rate json-small": {"aws": Spread(1, 1, 1)}, "p99 rate-1000": {"ours": behind}}
    (light, _) = peers.draw(made, tmp_path, "full")
    assert light.read_text().count("<rect") == 1


def test_nothing_is_drawn_of_nothing(tmp_path: Path):
    assert peers.draw({}, tmp_path, "full") == []
