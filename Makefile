# Everything a developer runs. Each target says what it does before it does it.
.PHONY: build test check fmt clippy doc deny shellcheck preflight

preflight:
	@scripts/preflight

build: preflight
	@echo "build: an optimised ./sluice"
	cargo build --release --locked -p sluice-server
	ln -sf target/release/sluice sluice

test: preflight
	@echo "test: every crate's unit, property and integration tests"
	cargo test --workspace --locked

check: fmt clippy test doc deny shellcheck
	@echo "check: all passed"

fmt:
	@echo "fmt: formatting, changing nothing"
	cargo fmt --all --check

clippy: preflight
	@echo "clippy: lints, each warning an error"
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: preflight
	@echo "doc: the API pages, each warning an error"
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny:
	@echo "deny: licences, bans and sources of all dependencies"
	@scripts/deny

shellcheck:
	@echo "shellcheck: the shell scripts"
	@scripts/shellcheck
