"""The tutorial notebook runs from the first cell to the last, and holds the outputs that the documentation shows."""

import json
import re
from pathlib import Path

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorial.ipynb"


def without_figures(text):
    return re.sub(r"[-\d.]+", "#", text)  # machines round differently


def test_every_cell_of_the_tutorial_runs_and_prints_what_was_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    namespace = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
        saved = "".join("".join(output["text"]) for output in cell["outputs"])
        assert without_figures(capsys.readouterr().out) == without_figures(saved)
    assert {path.name for path in tmp_path.iterdir()} == {"mask_b.safetensors", "alignment.json"}
