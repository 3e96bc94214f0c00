# Needs Go, git, make and bash; fetches or builds everything else, once, into GRAY_CACHE.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

export GRAY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gray
FUZZTIME ?= 60s

# The race detector needs a C compiler.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# A linter built by one Go does not read what another compiles, hence both versions in the path.
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(GRAY_CACHE)/tools/$(firstword $(shell go env GOVERSION))/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint

# What Traefik's interpreter runs. It sets the tag yaegi, by which a file may have a twin.
INTERPRETED := ./core/... ./internal/remote/... ./traefikgray/...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-10s%s\n", $$1, $$2 }' Makefile

.PHONY: quick
quick: yaegi ## vet, the core's tests and the Yaegi check: under a minute
	go vet ./...
	go test -timeout 5m ./core/... ./internal/remote/...
	go test -tags=yaegi -short -timeout 5m $(INTERPRETED)

# -short leaves out the long loads and, with the race detector, the statistics over a million ids.
# -p 1 in e2e: its tests measure and load real servers, and would disturb each other.
.PHONY: test
test: yaegi servers ## everything but the long loads
	go vet ./...
	go test -count=1 $(RACE) -short -timeout 20m ./...
	go test -count=1 -timeout 10m ./core/... ./internal/remote/...
	go test -count=1 -tags=yaegi -timeout 10m $(INTERPRETED)
	cd e2e && go vet ./...
	cd e2e && go test -count=1 -p 1 -short -timeout 40m ./...

.PHONY: e2e
e2e: servers ## the long loads: real servers, real upstreams, thousands of changes
	go test -count=1 -timeout 30m ./caddygray/...
	cd e2e && go test -count=1 -p 1 -timeout 90m ./...

# Comparisons, which alternate within one run, are tests in packages that have the flag -compare.
# Caddy's is a benchmark, in a package without the flag.
.PHONY: bench
bench: servers ## benchmarks and comparisons: where the figures of docs/performance.md come from
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...
	cd e2e && go test -count=1 -p 1 -v -timeout 60m -run Compare -bench . -benchmem $$(grep -l 'flag.Bool("compare"' */*_test.go | sed 's,/[^/]*$$,,; s,^,./,' | sort -u) -compare
	cd e2e && go test -count=1 -v -timeout 60m -run '^$$' -bench . ./caddy

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (60s)
	@for module in . e2e; do \
		for package in $$(cd $$module && go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
			for target in $$(cd $$module && go test -list '^Fuzz' $$package | sed -n '/^Fuzz/p'); do \
				echo "$$package $$target"; \
				(cd $$module && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package); \
			done; \
		done; \
	done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint over every module
	$(GOLANGCI_LINT) run ./...
	$(GOLANGCI_LINT) run --build-tags=yaegi $(INTERPRETED)
	cd e2e && $(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the Go code
	$(GOLANGCI_LINT) fmt ./...
	cd e2e && $(GOLANGCI_LINT) fmt ./...

# Three things compile that Yaegi v0.16.1 gets wrong: goroutines in one select statement wait for
# each other's channels, nil in an assignment of several values panics, and a switch that begins
# with a statement compares nothing but a plain variable.
# Vet would read the tests too, which may import what the interpreter cannot. The overlay hides
# them.
.PHONY: yaegi
yaegi: ## prove that what Traefik interprets stays within what Yaegi runs
	go build -tags=yaegi -modfile=yaegi.mod -gcflags=-lang=go1.20 $(INTERPRETED)
	@! grep -rnE --include='*.go' --exclude='*_test.go' '^\s*select \{|^[^=]*, [^=]* :?= ([^(]*, )?nil(,|$$)|^\s*switch [^{]*; [^{]' core internal/remote traefikgray
	@overlay=$$(mktemp) && trap 'rm -f "$$overlay"' EXIT && \
	go list -tags=yaegi -modfile=yaegi.mod -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}}{{"\n"}}{{end}}' $(INTERPRETED) | \
		awk 'NF { list = list sep "\"" $$0 "\":\"\""; sep = "," } END { print "{\"Replace\":{" list "}}" }' >"$$overlay" && \
	go vet -tags=yaegi -modfile=yaegi.mod -overlay="$$overlay" $(INTERPRETED)

# A server whose tools this machine lacks is skipped, and so are its tests. With CI=true all must
# run.
.PHONY: servers
servers: ## build the real servers that the tests run: Traefik, Envoy, Istio, Kubernetes, etcd, ...
	cd e2e && go run ./servers/build

$(GOLANGCI_LINT):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
