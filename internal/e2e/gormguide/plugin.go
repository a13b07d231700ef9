package gormguide

import "github.com/rowseal/rowseal/gormseal"

func strict(m models) *gormseal.Plugin {
	plugin := gormseal.New(m.users, m.orders)
	plugin.NoKMSInTransaction = true
	plugin.Tables = map[string]gormseal.TableOptions{"orders": {OpenOnFind: true}}
	return plugin
}
