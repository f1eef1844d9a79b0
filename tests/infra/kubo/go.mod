module comity.invalid/tests/infra/kubo

go 1.26

require (
	github.com/cockroachdb/swiss v0.0.0-20260820225851-333444432258 // the version in Kubo's own graph does not build with Go 1.26
	github.com/ipfs/kubo v0.39.0
)
