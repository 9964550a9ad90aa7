//go:build tools

// Keeps what is built from other modules in go.mod, where it is pinned with all that it needs.
package main

import _ "github.com/summerwind/h2spec/cmd/h2spec"
