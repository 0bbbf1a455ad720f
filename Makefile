.PHONY: check lint test slow browser clusters docs demo

check: lint test  ## everything that has to pass before a commit lands

lint:  ## formatting, lint, types, layers
	uv run --group quality ruff format --check .
	uv run --group quality ruff check .
	uv run --group quality pyright
	uv run --group quality lint-imports

test:  ## the tests that need seconds, no network and no GPU
	uv run pytest

slow:  ## the tests that need minutes
	uv run --group quality pytest -m slow

browser:  ## the page in headless Chromium, which has to be installed
	uv run pytest -m browser

clusters:  ## a study on a Slurm and on a Ray cluster of this machine's own, each losing a node; needs Debian's archive
	uv run --group clusters pytest -m cluster -n 0 -s

docs:  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 uv run --group docs mkdocs build --strict

demo:  ## the whole protocol on real images
	uv run permask demo
