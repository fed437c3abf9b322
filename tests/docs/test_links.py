"""Every page's links within the repository lead somewhere, headings included."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"))
)


def links(text):
    """Where a page's links and images lead."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(text):
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    found = [link for link in links(path.read_text()) if not link.startswith(("https://", "http://"))]
    for link in found:
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{page} links to {link}"


def test_links_are_found():
    text = "# A b, c\n[x](y.md#a-b-c) ![z](w.png)\n```\n# no\n[n](o)\n```\n"
    assert links(text) == ["y.md#a-b-c", "w.png"]
    assert anchors(text) == {"a-b-c"}
    assert {"README.md", "docs/results.md", "benchmarks/README.md"} <= set(PAGES)
