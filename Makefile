# Berth's build. `make help` lists the targets; CI and the README call these and nothing else.
SHELL := /bin/bash
CONFIG ?= release
SWIFT_BUILD = swift build -c $(CONFIG)
PREFIX ?= /usr/local
# A build folder of its own: the test bundles link the programs' code in another way (see Package.swift), and switching would build all of it anew.
TEST_SCRATCH ?= .build-test
DESTDIR ?=
PROGRAMS = berth berthd berth-supervisor berth-shim berth-runtime berth-init
# DEBIAN_FRONTEND and the package lists live in one place, so that `make run` and `make test` work on a fresh machine.
DEPS = contrib/dev/install-dependencies.sh

.PHONY: help build static deps test-deps run test test-unit test-root test-e2e test-chaos fuzz test-suites bench check fmt protos check-protos install uninstall clean clean-test

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' | column -t -s "$$(printf '\t')"

deps: ## install what building needs (Debian packages)
	@$(DEPS) build

test-deps: deps ## install what the tests need
	@$(DEPS) test

build: ## build the five programs into bin/
	@# one product at a time: building everything would also build the compilers and plugins that our dependencies bring along
	@for p in $(PROGRAMS); do $(SWIFT_BUILD) --product $$p || exit 1; done
	@mkdir -p bin
	@path=$$($(SWIFT_BUILD) --show-bin-path) && for p in $(PROGRAMS); do strip -o bin/.$$p.new $$path/$$p && mv bin/.$$p.new bin/$$p; done
	@ln -sf berth-shim bin/containerd-shim-berth-v1
	@ls -l bin | awk 'NR>1 {printf "%-28s %6.1f MiB\n", $$9, $$5/1048576}'

static: ## build only the shim and the runtime
	$(SWIFT_BUILD) --product berth-shim
	$(SWIFT_BUILD) --product berth-runtime

run: deps build ## install what is missing, build, start an engine and run a container
	@contrib/dev/run-demo.sh

test: test-deps build test-unit test-root test-e2e ## everything: unit, root and end-to-end tests

test-unit: ## unit tests: no root, no network
	BERTH_TESTING=1 swift build --scratch-path $(TEST_SCRATCH) --product berthPackageTests
	BERTH_TESTING=1 swift test --scratch-path $(TEST_SCRATCH) --skip-build --no-parallel --skip RootTests

test-root: ## tests against the real kernel (root)
	contrib/dev/test-root.sh

test-e2e: ## all programs, driven by the stock docker client and by berth (root)
	Tests/EndToEnd/run.sh

test-chaos: ## daemons and shims killed, stopped and cut off at random above fifty containers; CHAOS_SEED, CHAOS_ROUNDS (root)
	CHAOS=1 Tests/EndToEnd/run.sh -k chaos

fuzz: ## libFuzzer over the parsers of foreign bytes, for FUZZ_SECONDS (60); what it has learned is kept in .build-fuzz/corpus
	BERTH_FUZZING=1 swift build -c release --scratch-path .build-fuzz --sanitize fuzzer --product parser-fuzzer
	mkdir -p .build-fuzz/corpus
	SWIFT_BACKTRACE=enable=no .build-fuzz/release/parser-fuzzer -max_total_time=$(or $(FUZZ_SECONDS),60) -timeout=10 -rss_limit_mb=1024 -artifact_prefix=.build-fuzz/ .build-fuzz/corpus

test-suites: ## other people's suites, where they are present beside the repository
	contrib/dev/suites.sh

bench: build ## measure against docker, containerd, runc and crun
	contrib/dev/bench.sh

check: ## imports, symbols, file sizes, formatting of the shell scripts, generated code
	contrib/dev/check.sh

fmt: ## format the sources
	swift format --in-place --recursive --parallel Sources Tests Package.swift

protos: ## generate the messages from the .proto files
	contrib/protos/generate.sh

check-protos: ## fail when generated code is not current
	contrib/protos/generate.sh --check

install: ## install programs, shim alias, systemd units and completions below DESTDIR/PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(addprefix bin/,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin/
	ln -sf berth-shim $(DESTDIR)$(PREFIX)/bin/containerd-shim-berth-v1
	for u in contrib/systemd/*; do sed 's|@PREFIX@|$(PREFIX)|g' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/}; done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 0644 contrib/completions/berth.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/berth
	install -m 0644 contrib/completions/_berth $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_berth
	install -m 0644 contrib/completions/berth.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/berth.fish

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(PROGRAMS) containerd-shim-berth-v1) $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(notdir $(wildcard contrib/systemd/*)))

clean: ## remove what building made
	rm -rf .build bin

clean-test: ## remove what tests left behind (only things named by our tests)
	contrib/dev/clean-test.sh
