"""An HTML page as a test reads it, with and without a browser."""

import html.parser
import json
import shutil
import subprocess

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
VOID = {"meta", "img", "br", "input", "link", "hr"}
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=3000",
)


class Page(html.parser.HTMLParser):
    """What is in a page: (tag, attributes) in order, its text, and tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.unmatched, self._open = [], [], [], []
        self.feed(text)
        self.close()
        self.unmatched += self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unmatched.append(f"/{tag}")

    def handle_data(self, data):
        if self._open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, name=None):
        """Elements of a tag, and of a class."""
        found = [attrs for kind, attrs in self.elements if kind == tag]
        return found if name is None else [one for one in found if name in (one.get("class") or "").split()]


def browser():
    """The browser's command; skips the test where there is none."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    return found


def ask(path, script, tmp_path, *flags):
    """Open a page in a browser, run a function body in it when it has loaded, and return what that returns.

    Errors of the page are in the answer under `errors`.
    """
    listen = "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));</script>"
    run = (
        "<script>addEventListener('load', () => { const say = (() => {" + script + "})(); const said = "
        "document.createElement('pre'); said.id = 'said'; said.textContent = JSON.stringify({...say, errors});"
        "document.body.append(said); });</script></body>"
    )
    asked = tmp_path / "asked.html"
    before, _, after = path.read_text().replace("<head>", "<head>" + listen, 1).rpartition("</body>")
    asked.write_text(before + run + after)
    shown = call(asked, tmp_path, "--dump-dom", *flags)
    said = shown.partition('<pre id="said">')[2].partition("</pre>")[0]
    return json.loads(html.unescape(said))


def call(path, tmp_path, *flags):
    """Run the browser on a file; its standard output."""
    line = [browser(), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, path.as_uri()]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout
