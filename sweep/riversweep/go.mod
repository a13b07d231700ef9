module github.com/rowseal/rowseal/sweep/riversweep

go 1.26.0

require (
	github.com/riverqueue/river v0.51.1
	github.com/riverqueue/river/rivertype v0.51.1
	github.com/rowseal/rowseal v0.0.0
)

replace github.com/rowseal/rowseal => ../..
