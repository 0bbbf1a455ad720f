"""The tutorial notebook runs from the first cell to the last."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorial.ipynb"


def test_every_cell_of_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    namespace = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
    assert {path.name for path in tmp_path.iterdir()} == {"mask_b.safetensors", "alignment.json"}
