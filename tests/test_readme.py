"""The README's Python runs as it is printed, but for its budgets."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run(number, tmp_path, monkeypatch, quick_compile):
    monkeypatch.chdir(tmp_path)
    code = re.sub(r"steps=[\d_]+", "steps=4", BLOCKS[number])
    code = re.sub(r"seeds=\d+", "seeds=2", code)
    exec(compile(code, f"README.md, block {number}", "exec"), {"__name__": "readme"})


def test_there_are_blocks():
    assert len(BLOCKS) >= 2
