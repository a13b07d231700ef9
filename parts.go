package rowseal

import (
	"database/sql/driver"
)

// IV is the type of the column beside a column in attr_encrypted's format that holds its initialization vector
// (encrypted_ssn_iv). Model.Seal sets it together with the field that its tag names (`rowseal:"of=SSN"`). It is no secret,
// and is written in the same statement as its field.
type IV struct{ c column }

// Salt is the type of the column that holds the salt of a field in attr_encrypted's format (encrypted_ssn_salt), as IV is
// that of the initialization vector.
type Salt struct{ c column }

// Scan implements sql.Scanner for NULL, text and bytes.
func (p *IV) Scan(src any) (err error) { p.c, err = scanColumn(src); return err }

// Scan implements sql.Scanner for NULL, text and bytes.
func (p *Salt) Scan(src any) (err error) { p.c, err = scanColumn(src); return err }

// Value implements driver.Valuer: text, bytes where the column is so encoded, or NULL.
func (p IV) Value() (driver.Value, error) { return p.c.value(), nil }

// Value implements driver.Valuer: text, bytes where the column is so encoded, or NULL.
func (p Salt) Value() (driver.Value, error) { return p.c.value(), nil }

// GormDataType tells GORM the column's type.
func (IV) GormDataType() string { return "text" }

// GormDataType tells GORM the column's type.
func (Salt) GormDataType() string { return "text" }
