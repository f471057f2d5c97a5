# One virtual environment for all; it is made anew only where a lock file changed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test lint types format pytest bench bench-payload bench-requests bench-backfill bench-trace bench-values fuzz-api test-referees container-test clean

demo: $(VENV)/.product
	@$(BIN)/leadloop demo $(ARGS)

test: $(VENV)/.dev lint types pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy app connectors migrations tests

pytest: $(VENV)/.dev
	$(BIN)/pytest -q -n 2 --dist loadgroup --durations 10 $(ARGS)

# Figures a second, printed; nothing is asserted about them.
bench: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_pipeline.py

# Events a second that each connector turns into a body, and reads the results of, at the maximum batch; printed.
bench-payload: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_payload.py

# What reading costs of each CRM's daily budget, printed.
bench-requests: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_requests.py

# A trace among a million leads (LEADLOOP_BENCH_LEADS=20000 for less), on both databases: time and statements, printed.
bench-trace: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_trace.py

# What a learnt value is worth on the demo's deals: calibration by decile, and the error of each value model, printed.
bench-values: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_values.py

# Backfills 30,000 and 300,000 deals (LEADLOOP_BENCH_DEALS="3000 12000" for less), prints time and peak memory: half an hour.
bench-backfill: $(VENV)/.dev
	$(BIN)/pytest -q -s tests/bench/bench_backfill.py

# schemathesis on the whole contract, longer than the suite does, with a new seed (LEADLOOP_FUZZ_SEED=n replays one).
fuzz-api: $(VENV)/.dev
	LEADLOOP_FUZZ_EXAMPLES=$${LEADLOOP_FUZZ_EXAMPLES:-150} LEADLOOP_FUZZ_SEED=$${LEADLOOP_FUZZ_SEED:-random} \
		$(BIN)/pytest -q -s tests/fuzz -k schemathesis

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Vendor packages are heavy and clash with ours, so each referee lives in an environment of its own.
REFEREES := hubspot salesforce pipedrive google meta microsoft
BODIES := .bodies
JUDGING := LEADLOOP_RECORDED_BODIES=$(BODIES)

# Whatever connectors send in any test is judged by the platforms' own classes; with PostgreSQL the same is sent as with SQLite.
test-referees: $(VENV)/.dev $(REFEREES:%=.venv-%/.done)
	rm -rf $(BODIES)
	LEADLOOP_BODIES=$(BODIES) $(BIN)/pytest -q -n 2 --dist loadgroup -k "not postgresql" \
		tests/contract tests/wire tests/integration tests/e2e
	.venv-hubspot/bin/pytest -q -p no:cacheprovider tests/referees/test_hubspot_client.py
	.venv-salesforce/bin/pytest -q -p no:cacheprovider tests/referees/test_salesforce_client.py
	$(JUDGING) .venv-google/bin/pytest -q -p no:cacheprovider tests/referees/test_google_bodies.py tests/referees/test_google_simulator.py \
		tests/referees/test_recorded_bodies.py tests/referees/test_expected_hashes.py
	$(JUDGING) .venv-meta/bin/pytest -q -p no:cacheprovider tests/referees/test_meta_bodies.py tests/referees/test_meta_simulator.py \
		tests/referees/test_recorded_bodies.py tests/referees/test_expected_hashes.py
	$(JUDGING) .venv-microsoft/bin/pytest -q -p no:cacheprovider tests/referees/test_recorded_bodies.py
	.venv-pipedrive/bin/pytest -q -p no:cacheprovider tests/referees/test_pipedrive_openapi.py tests/referees/test_pipedrive_connector.py

# Builds the Dockerfile and runs it for real, as root on a Debian; installs what it needs. The first time takes minutes.
CONTAINER_TOOLS := buildah podman runc debootstrap uidmap fuse-overlayfs netavark aardvark-dns containernetworking-plugins

container-test: $(VENV)/.dev
	@which buildah podman runc debootstrap >/dev/null || \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(CONTAINER_TOOLS); }
	LEADLOOP_CONTAINER_TEST=1 $(BIN)/pytest -q -p no:cacheprovider --durations 10 tests/container $(ARGS)

.venv-%/.done: tests/referees/%.in tests/requirements.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet -r tests/referees/$*.in
	.venv-$*/bin/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.product: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -f $(VENV)/.dev || $(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: tests/requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r tests/requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $(VENV)/.product $@

clean:
	rm -rf .venv .venv-* $(BODIES) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
