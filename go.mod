module github.com/rowseal/rowseal

go 1.26.0
