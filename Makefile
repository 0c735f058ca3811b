# make hello   the tutorial, end to end: compiles PHP, publishes to an endpoint on this machine, invokes a function
# make test    lint and every test that fits into CI; compiles PHP if `make hello` has not done it yet

SHELL := /bin/sh
PHPLAYER_CACHE ?= $(CURDIR)/.work/cache
export PHPLAYER_CACHE
BIN := .venv/bin
SHELL_SCRIPTS = scripts/*.sh .ci/run $(wildcard templates/build/*.sh templates/*/*.sh)

.PHONY: hello setup packages test test-slow soak test-unit lint format bench lock clean

hello:
	@scripts/hello.sh

setup:
	@scripts/setup.sh

packages: setup
	@cd examples/hello && ../../$(BIN)/phplayer doctor --fix --yes >&2

test: lint
	@scripts/test.sh

# What takes too long for CI: compiles in containers, for arm64 under emulation, of other versions, of PECL's extensions.
test-slow: packages
	$(BIN)/pytest -m slow

# Events with random failures for as long as wanted: make soak SECONDS=1800
soak: packages
	PHPLAYER_SOAK_SECONDS=$(or $(SECONDS),1800) $(BIN)/pytest -m "" -s tests/integration/test_soak.py

test-unit: setup
	$(BIN)/pytest tests/unit

lint: packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck $(sort $(SHELL_SCRIPTS))
	scripts/lint-php.sh

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: packages
	$(BIN)/python tests/benchmarks/run.py

# The lock files: every version with its hashes. Needs uv on PATH.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
		pyproject.toml requirements/dev.in -o requirements/dev.txt
	for name in sam awscli actionlint hadolint ministack; do \
		uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
			requirements/$$name.in -o requirements/$$name.txt || exit; \
	done

clean:
	rm -rf .work .venv dist
