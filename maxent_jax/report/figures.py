"""Pictures and films of run directories as parts of a page."""

import base64
from html import escape
from pathlib import Path

from maxent_jax.faults import Fault

KINDS = {
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n", 0),
    ".gif": ("image/gif", b"GIF8", 0),
    ".mp4": ("video/mp4", b"ftyp", 4),
}
"""By suffix: the type, and the bytes that such a file has at a place."""
LARGEST = 12_000_000
"""Bytes of a file that is embedded; a larger one is named."""
DRAWN_ANEW = ("curves.png",)
"""Left out: the page draws these itself."""


def embedded(directory: Path) -> str:
    """All pictures and films in `figures` of a run directory, by name; "" where there are none.

    Raises:
      Fault: a file is not what its name says, or cannot be read.
    """
    found = sorted(path for path in (directory / "figures").glob("*") if path.suffix in KINDS)
    return "".join(_embed(path) for path in found if path.name not in DRAWN_ANEW)


def _embed(path: Path) -> str:
    kind, magic, place = KINDS[path.suffix]
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise Fault(f"figure {str(path)!r}: cannot be read ({error.strerror}); remove it, or make it again") from None
    name = escape(str(path))
    if size > LARGEST:
        return f"<p>{name}: {size / 1e6:.0f} MB, too large to be embedded.</p>"
    if data[place : place + len(magic)] != magic:
        raise Fault(f"figure {str(path)!r}: is damaged, no {path.suffix[1:]}; remove it, or make it again")
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    if kind.startswith("video"):
        inner = f'<video controls loop muted playsinline src="{source}"></video>'
    else:
        inner = f'<img alt="{escape(path.stem)}" src="{source}">'
    return f'<figure class="picture">{inner}<figcaption>{name}</figcaption></figure>'
