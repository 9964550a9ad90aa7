# Everything a developer runs. Each target says what it does before it does it.
.PHONY: test

test:
	@echo "test: every crate's unit, property and integration tests"
	cargo test --workspace --locked
