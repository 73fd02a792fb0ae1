# The commands of this repository; `make` alone lists them. Recipes are short on purpose: what takes
# thought is in scripts/ and xtask/. Everything is quoted, so that a path may contain spaces.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

# Where rustup puts cargo, for shells that have not been told yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

XTASK := cargo run --quiet --locked --package xtask --

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## Install what is missing, build, and start the platform
	@scripts/ensure-tools.sh run
	cargo build --release --locked --package clm-cli
	@export CLM_DATA_DIR="$${CLM_DATA_DIR:-$$PWD/.clm}"; \
	exec "$${CARGO_TARGET_DIR:-target}/release/clm" serve

.PHONY: build
build: ## Build the program: target/release/clm
	@scripts/ensure-tools.sh build
	cargo build --release --locked --package clm-cli

.PHONY: check
check: ## Formatting, lints, conventions, derived files
	@scripts/ensure-tools.sh build
	@$(XTASK) ci check

.PHONY: test
test: ## Everything that `check` does, and every test
	@scripts/ensure-tools.sh test
	@$(XTASK) ci test

.PHONY: test-matrix
test-matrix: ## Tests of the databases on PostgreSQL 12, on 18 and on the installed one
	@scripts/ensure-tools.sh test
	@scripts/test-matrix.sh

.PHONY: soak
soak: ## Long tests: SOAK_ROUNDS (20) faults, SOAK_SECONDS (600) of random input
	@scripts/ensure-tools.sh test
	@scripts/soak.sh

.PHONY: bench
bench: ## Benchmarks
	@scripts/ensure-tools.sh run
	cargo run --release --locked --package clm-benches

.PHONY: fmt
fmt: ## Format all code
	cargo fmt --all

.PHONY: derived
derived: ## Make the derived files again
	@scripts/ensure-tools.sh run
	$(XTASK) sqlx-prepare
	$(XTASK) derived

.PHONY: clean
clean: ## Remove what was built; data directories stay
	cargo clean
