// The validators' engine at a pinned release: ./build makes the program `kcn` of it.
module tanhui/engine/kaia

go 1.22.1

require (
	github.com/kaiachain/kaia v1.0.3
	// Kaia asks for v0.3.11, which Go 1.24 and newer refuse to compile.
	github.com/supranational/blst v0.3.14
)
