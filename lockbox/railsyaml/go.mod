module github.com/rowseal/rowseal/lockbox/railsyaml

go 1.26.0

require (
	github.com/rowseal/rowseal v0.0.0
	go.yaml.in/yaml/v3 v3.0.5
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/rowseal/rowseal => ../..
