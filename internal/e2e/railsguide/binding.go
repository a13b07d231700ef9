package main

import "github.com/rowseal/rowseal"

// bound seals with associated data, and still opens what was sealed without.
func bound(masterKeys map[string]*rowseal.MasterKey) *rowseal.Options {
	return &rowseal.Options{
		MasterKeys: masterKeys, // and Binding is BindColumn, the default
		Amend: func(s *rowseal.Schema) {
			for i := range s.Fields {
				s.Fields[i].Previous = append(s.Fields[i].Previous, rowseal.PreviousVersion{})
			}
		},
	}
}
