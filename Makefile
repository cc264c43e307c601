# Each command sets up .venv first if need be; a second run costs nothing.
#   make lab     open the course in JupyterLab: your own copies, in work/, without outputs
#   make reset NB=01   take the copy of one notebook anew; what you had stays beside it
#   make service run the service of notebook 05, with four workers, until Ctrl-C
#   make doctor  say in half a minute whether the course runs on this machine
#   make handout copies for a class, as archives in dist/
#   make guide   the instructor's guide, made of the notebooks: dist/guide.html; START=13:30 if not at 09:00
#   make stick   all that a room without network needs, in dist/stick; PYTHONS="3.11 3.12" PLATFORMS="macos-arm64 …"
#   make grade FROM=FOLDER   look at the exercises that a class handed in, a table in grades.csv
#   make test    run all tests, the notebooks included
#   make run     execute the whole course without a browser, and write it to pages/
#   make site    the course, the library and its API as a site that opens from disk: site/index.html
#   make slides  execute the whole course, and make slides of it, in slides/; STAGE=1: in 45 minutes each
#   make check   ruff and mypy
#   make bench   measure caches, decorator and pool beside their peers
#   make dist    the library as a wheel and a source distribution, in dist/
#   make setup   only set up .venv
# PYTHON=python3.13 make …   sets .venv up with that interpreter

# Elsewhere in the image of .binder/Dockerfile, where each environment is made once.
VENV := $(or $(CACHEPOOL_VENV),.venv)
PY := $(VENV)/bin/python
# Twice quiet: errors alone. Of pip's settings those by which it finds packages count, and no others.
PIP := $(PY) -I cachepool_lib/lab/environment.py install -qq -c constraints.txt

# What was set for other Pythons: a path with other packages, checks without asserts, nothing compiled.
# And a log of keys, which keeps every pip from running where it can't be written.
unexport SSLKEYLOGFILE $(filter-out PYTHON PYTHONS,$(filter PYTHON%,$(.VARIABLES)))

.PHONY: help lab reset service doctor handout guide stick grade test run site slides check bench dist setup constraints picture FORCE
help:
	@sed -n '/^#   make/s/^# //p' Makefile

lab: $(VENV)/.lab
	@exec $(PY) -m cachepool_lib.lab.course open

reset: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.course reset "$$NB"

service: $(VENV)/.lab
	@exec $(PY) -m cachepool_lib.lab.servers examples/service/shop_service.py

doctor: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.classroom doctor

handout: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.classroom handout

guide: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.classroom guide $${START:+"$$START"}

# With the slides and the site that are here; where there are none they are made first.
stick: $(VENV)/.lab $(foreach made,slides site,$(if $(wildcard $(made)/*.html),,$(made)))
	@$(PY) -m cachepool_lib.lab.classroom stick --pythons $(PYTHONS) --platforms $(PLATFORMS)

grade: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.classroom grade "$$FROM"

# Four at once on two cores: much of what they do is waiting.
test: $(VENV)/.dev
	$(PY) -m pytest -p tests.tools.quick_start -n 4 --dist loadgroup $(ARGS)

run: $(VENV)/.lab
	@$(PY) -m cachepool_lib.lab.course

# Anew each time: no page of what is gone stays. A warning is an error.
site: $(VENV)/.site
	@rm -rf $(VENV)/built
	@$(PY) -m sphinx -M html . $(VENV)/built -c docs -qW --keep-going
	@rm -rf site && mv $(VENV)/built/html site
	@echo "To be opened: site/index.html"

slides: $(VENV)/.slides
	@$(PY) -m cachepool_lib.lab.course slides $(if $(STAGE),--stage)

check: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.dev
	$(PY) -m tests.benchmarks

dist: $(VENV)/.dev
	@rm -f dist/cachepool_lib-*
	$(PY) -m build --outdir dist .
	$(PY) -m twine check --strict dist/cachepool_lib-*

setup: $(VENV)/.dev

# lab is all that a learner needs; slides adds reveal.js, dev adds what tests, checks and benchmarks need.
$(VENV)/.lab: $(VENV)/.interpreter pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; a minute or two) …"
	@$(PIP) -e '.[lab]'
	@touch $@

$(VENV)/.slides: $(VENV)/.interpreter pyproject.toml constraints.txt
	@echo "Setting up $(VENV) with what slides need (once; a minute or two) …"
	@$(PIP) -e '.[lab,slides]'
	@touch $(VENV)/.lab $@

$(VENV)/.site: $(VENV)/.interpreter pyproject.toml constraints.txt
	@echo "Setting up $(VENV) with what the site needs (once; a minute or two) …"
	@$(PIP) -e '.[lab,site]'
	@touch $(VENV)/.lab $@

$(VENV)/.dev: $(VENV)/.interpreter pyproject.toml constraints.txt
	@echo "Setting up $(VENV) with the tools for tests (once; a minute or two) …"
	@$(PIP) -e '.[lab,dev]'
	@touch $(VENV)/.lab $@

# Always looked at, and touched only when .venv had to be made: not there, moved, or another PYTHON asked for.
$(VENV)/.interpreter: FORCE
	@told='import sys; print(sys.base_prefix, sys.version)'; \
	wanted="$$PYTHON"; here="$$("$(PY)" -c "$$told" 2>/dev/null) in $$(cd "$$(dirname "$(VENV)")" && pwd)"; \
	if [ -z "$$wanted" ] && [ "$$here" = "$$(cat $@ 2>/dev/null)" ]; then exit 0; fi; \
	set -- python3 python3.13 python3.12 python3.11 python3.14; \
	[ -z "$$wanted" ] || set -- "$$wanted"; \
	for python; do \
	  version="$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || continue; \
	  case "$$version" in 2.*|3.[0-9]|3.10) old="$$python is Python $$version"; continue;; esac; \
	  found=$$python; break; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "This course needs Python 3.11 or newer; $${old:-$${wanted:-python3} does not run}." >&2; \
	  echo "Install one, or name it: PYTHON=python3.12 make …" >&2; exit 1; \
	fi; \
	now="$$("$$found" -c "$$told") in $$(cd "$$(dirname "$(VENV)")" && pwd)"; \
	if [ "$$now" = "$$(cat $@ 2>/dev/null)" ] && [ "$$now" = "$$here" ]; then exit 0; fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found cannot make a virtual environment: venv or ensurepip is missing." >&2; \
	  echo "On Debian and Ubuntu: apt install python$$version-venv" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import os; assert ":" not in os.getcwd(); os.getcwd().encode()' 2>/dev/null; then \
	  echo "The course can't be set up in this folder: $$(pwd)" >&2; \
	  echo "Its name has a colon in it, or letters that are no UTF-8. Rename it, or move the course." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with Python $$version …"; \
	"$$found" -m venv --clear $(VENV) && printf '%s\n' "$$now" > $@

# The versions that everybody gets, for Python 3.11 to 3.14 on every system. Needs uv.
constraints:
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url \
	  --no-annotate --no-header --upgrade -o constraints.txt pyproject.toml

# README's picture: whose page everybody got, as notebook 03 stores it.
picture: $(VENV)/.lab
	@mkdir -p docs
	@$(PY) -c 'import base64, nbformat, sys; \
	  cells = nbformat.read("notebooks/03-cache-with-one-line.ipynb", as_version=4).cells; \
	  data = [o.data for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]; \
	  png = [d["image/png"] for d in data if d["text/plain"].startswith("strangers")][-1]; \
	  sys.stdout.buffer.write(base64.b64decode(png))' > docs/chart.png
