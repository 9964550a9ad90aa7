# Everything a developer runs. Each target says what it does before it does it.
.PHONY: run build test beating bench bench-micro bench-tools instructions check fmt clippy doc deny shellcheck tuning preflight proto test-tools fuzz redis ceph

# What the tests build and release does not: the places at which a test lets a server die.
TEST_FEATURES = --features sluice-server/failpoints

preflight:
	@scripts/preflight

run: build
	@echo "run: serving; Ctrl-C ends it"
	@./sluice serve

build: preflight
	@echo "build: an optimised ./sluice"
	cargo build --release --locked -p sluice-server
	ln -sf target/release/sluice sluice

test-tools:
	@scripts/test-tools

test: preflight test-tools
	@echo "test: every crate's unit and property tests, then whole servers under real clients"
	cargo test --workspace --locked $(TEST_FEATURES)

ceph: preflight test-tools
	@command -v radosgw >/dev/null && command -v ceph-mon >/dev/null && command -v ceph-osd >/dev/null \
		|| scripts/install-packages ceph radosgw ceph-mon ceph-osd ceph-common
	@echo "ceph: what must hold with any S3, held against Ceph, a second store; some 65 packages"
	cargo test --workspace --locked $(TEST_FEATURES) ceph -- --ignored --test-threads 1

beating: preflight test-tools
	@echo "beating: what peers may do to a server, at length; some minutes, and 20,000 open files"
	cargo test -p sluice-server --locked $(TEST_FEATURES) --test beating -- \
		--include-ignored --nocapture --test-threads 1

# quick, gates, matrix, peers, redis, s3 or soak: see bench/suites.
SUITE = quick
# Those that hold Sluice against what nobody here wrote.
SUITES_WITH_TOOLS = gates peers s3

bench: preflight $(if $(filter $(SUITES_WITH_TOOLS),$(SUITE)),bench-tools) $(filter redis,$(SUITE))
	@echo "bench: an optimised server and its bench"
	cargo build --release --locked -p sluice-server -p sluice-bench
	@echo "bench: suite $(SUITE); what comes of it lies in bench/out, and report.html shows it"
	target/release/sluice-bench suite $(SUITE) --out bench/out

redis:
	@command -v redis-server >/dev/null || scripts/install-packages bench redis-server

# rope, decode, sums, plan, budget, chunks, credit: all of bench/micro/benches.
MICRO = $(basename $(notdir $(wildcard bench/micro/benches/*.rs)))

bench-micro: preflight
	@echo "bench-micro: the server's small parts timed by Criterion, each for a moment: $(MICRO)"
	cargo bench --quiet --profile micro --locked -p sluice-micro $(MICRO:%=--bench %) -- --quick

instructions: preflight
	@echo "instructions: callgrind counts what the server's small parts take, within 2 % of what is stored"
	@scripts/instructions

bench-tools:
	@scripts/bench-tools

check: fmt clippy test instructions proto doc deny shellcheck tuning
	@echo "check: all passed"

fmt:
	@echo "fmt: formatting, changing nothing"
	cargo fmt --all --check

clippy: preflight
	@echo "clippy: lints, each warning an error"
	cargo clippy --workspace --all-targets --locked $(TEST_FEATURES) -- -D warnings
	cargo clippy --workspace --lib --bins --locked -- -D warnings

proto: test-tools
	@echo "proto: the contract: lints, nothing broken, docs/api as its comments are"
	@scripts/proto

doc: preflight
	@echo "doc: the API pages, each warning an error"
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny:
	@echo "deny: licences, bans and sources of all dependencies"
	@scripts/deny

fuzz:
	@echo "fuzz: a million inputs for each decoder; needs nightly and cargo-fuzz"
	@scripts/fuzz

shellcheck:
	@echo "shellcheck: the shell scripts"
	@scripts/shellcheck

tuning:
	@echo "tuning: tuning/*.sh on a machine made of files and, as root, in a network namespace"
	@tuning/test.sh
