package gormseal

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"

	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/sqlseal"
)

// chooseTypes tells AutoMigrate the types of the sealed columns. A tag `gorm:"type:…"` is left as it is.
func (t *table) chooseTypes(d sqlseal.Dialect) {
	own := t.rows.Schema()
	for _, f := range t.sealed {
		if f.TagSettings["TYPE"] != "" {
			continue
		}
		if i := slices.IndexFunc(own.Indexes, func(ix rowseal.Index) bool { return ix.Column == f.DBName }); i >= 0 {
			f.DataType = indexType(d, own.Indexes[i].Options)
		} else if isRaw(own, f.DBName) {
			f.DataType = bytesType(d)
		}
	}
}

// isRaw tells whether a column has bytes in place of text.
func isRaw(s rowseal.Schema, column string) bool {
	return slices.ContainsFunc(s.Keys, func(k rowseal.KeyColumn) bool { return k.Column == column && k.Bytes }) || slices.ContainsFunc(s.Fields, func(f rowseal.Field) bool {
		if a := f.AttrEncrypted; a != nil {
			return f.Column == column && a.Encode == attrencrypted.Raw || f.IV == column && a.EncodeIV == attrencrypted.Raw ||
				f.Salt == column && a.EncodeSalt == attrencrypted.Raw
		}
		return f.Column == column && f.Format.Raw
	})
}

func bytesType(d sqlseal.Dialect) schema.DataType {
	switch d {
	case sqlseal.PostgreSQL:
		return "bytea"
	case sqlseal.MySQL:
		return "longblob"
	}
	return "blob"
}

// indexType is one of which MySQL makes an index too, that compares byte by byte.
func indexType(d sqlseal.Dialect, o blindindex.Options) schema.DataType {
	size := cmp.Or(o.Size, 32) // bytes, blindindex's default
	switch {
	case o.Raw && d == sqlseal.MySQL:
		return schema.DataType(fmt.Sprintf("varbinary(%d)", size))
	case o.Raw:
		return bytesType(d)
	case d != sqlseal.MySQL:
		return "text"
	}
	size = base64.StdEncoding.EncodedLen(size)
	if o.Legacy { // with a line end
		size++
	}
	return schema.DataType(fmt.Sprintf("varchar(%d) CHARACTER SET ascii COLLATE ascii_bin", size))
}
