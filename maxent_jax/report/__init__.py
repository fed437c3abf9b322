"""One self-contained HTML page of any run directories: no network, and text and figures without JavaScript.

`page` puts the sections together; `charts` draws data as inline SVG; `figures` embeds the pictures and films that lie
in the run directories. `style.css` does dark, narrow and printed pages, and the switch between steps and minutes;
`script.js` adds what hovers.
"""

from maxent_jax.report.page import page

__all__ = ["page"]
