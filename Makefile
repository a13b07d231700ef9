# Every task of the house: `make` alone lists them. Each step of `make test` is a target and can be run by itself.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A clone that belongs to another user (a container's, say) must not stop a build: nothing here needs the VCS stamp.
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false

TESTFLAGS   ?=
BENCHTIME   ?= 1s
FUZZTIME    ?= 30s
SOAKTIMEOUT ?= 4h

# The name holds the Go version too: a staticcheck built by an older Go refuses newer code.
STATICCHECK_VERSION := v0.8.2
STATICCHECK := .cache/bin/staticcheck-$(STATICCHECK_VERSION)-$(shell go env GOVERSION)

# Cheap before dear. `work` is the go command's word for the packages of all modules in go.work.
STEPS := setup format vet lint arch vault race fips bench-once standalone tidy-check

.PHONY: help test soak fuzz bench fmt tidy $(STEPS)

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run every step below marked [test], in order, up to the first failure
	@for step in $(STEPS); do \
		printf '\n=== %s\n' "$$step"; start=$$SECONDS; \
		$(MAKE) --no-print-directory "$$step" || { printf '=== %s FAILED; again: make %s\n' "$$step" "$$step"; exit 1; }; \
		printf '=== %s: %d s\n' "$$step" $$((SECONDS - start)); \
	done; \
	printf '\n=== all passed: %d s\n' "$$SECONDS"

setup: ## [test] Install what the steps need and the machine lacks: a C compiler for -race, PostgreSQL, MariaDB, Chromium
	@scripts/setup

format: ## [test] Every Go file is as gofmt writes it
	@unformatted=$$($(GOFILES) | xargs -0 gofmt -l); \
	[ -z "$$unformatted" ] || { printf 'not as gofmt writes it (make fmt):\n%s\n' "$$unformatted"; exit 1; }

vet: ## [test] go vet, every module
	go vet work

lint: $(STATICCHECK) ## [test] staticcheck, every module; staticcheck.conf says which checks are off and why
	$(STATICCHECK) work

arch: ## [test] The architecture: who may import whom, documented packages, no absolute paths
	go test -count=1 ./internal/arch

# Its module is outside the workspace: see its main.go.
vault: ## [test] Build the real Vault that tests start, which takes minutes the first time
	cd internal/e2e/vaultserver && GOWORK=off go vet . && GOWORK=off go build -o $(abspath .cache/bin/vaultserver) .

race: ## [test] Every module's tests under the race detector; TESTFLAGS is passed on
	go test -race -count=1 $(TESTFLAGS) work

fips: ## [test] The root module's tests with nothing but FIPS 140-3 cryptography
	GODEBUG=fips140=only go test ./...

bench-once: ## [test] Every benchmark once, so that none rots
	go test -run='^$$' -bench=. -benchtime=1x work

standalone: ## [test] Each module builds, tests included, as its users see it: outside the workspace
	@scripts/each-module env GOWORK=off go build -o /dev/null ./...
	@scripts/each-module env GOWORK=off go vet ./...

tidy-check: ## [test] Each go.mod and go.sum is as go mod tidy leaves it
	@scripts/each-module go mod tidy -diff

soak: ## The long forms of the tests (ROWSEAL_SOAK=1, up to SOAKTIMEOUT a package), then make fuzz
	ROWSEAL_SOAK=1 go test -race -count=1 -timeout=$(SOAKTIMEOUT) $(TESTFLAGS) work
	@$(MAKE) --no-print-directory fuzz

fuzz: ## Fuzz every target for FUZZTIME each (30s); what fails is kept in testdata/fuzz
	@scripts/fuzz $(FUZZTIME)

bench: ## Run the benchmarks, with allocations, for BENCHTIME each (1s)
	go test -run='^$$' -bench=. -benchmem -benchtime=$(BENCHTIME) work

fmt: ## Format every Go file
	@$(GOFILES) | xargs -0 gofmt -w

tidy: ## go mod tidy, every module
	@scripts/each-module go mod tidy

# Ignored folders hold other people's code, if any.
GOFILES = find . -path './.*' -prune -o -name '*.go' -print0

$(STATICCHECK):
	GOBIN=$(abspath $(@D)) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(@D)/staticcheck $@
