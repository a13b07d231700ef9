package integration

import (
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// Account has two data keys and an index; the database makes its id.
type Account struct {
	ID              int64                  `db:"id"`
	Name            string                 `db:"name"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Email           rowseal.Sealed[string] `db:"email_ciphertext"`
	EmailIndex      blindindex.Index       `db:"email_bidx" rowseal:"of=Email,algorithm=hmac_sha256"`
	Phone           rowseal.Sealed[string] `db:"phone_ciphertext"`
	KMSKeyPIN       rowseal.DataKey        `db:"encrypted_kms_key_pin" rowseal:"name=pin"`
	PIN             rowseal.Sealed[string] `db:"pin_ciphertext" rowseal:"key=pin"`
	Notes           []*Note                `db:"-"`
}

// Note belongs to an Account, and has its id from the application.
type Note struct {
	ID              int64                  `db:"id"`
	AccountID       *int64                 `db:"account_id"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Text            rowseal.Sealed[string] `db:"text_ciphertext"`
}

// Visit has an encryption context in which another column is beside its id.
type Visit struct {
	ID              int64                  `db:"id"`
	Clinic          string                 `db:"clinic"`
	Room            string                 `db:"room"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Reason          rowseal.Sealed[string] `db:"reason_ciphertext"`
}

// Pair has an index over fields under two data keys.
type Pair struct {
	ID              int64                  `db:"id"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Left            rowseal.Sealed[string] `db:"left_ciphertext"`
	KMSKeyTwo       rowseal.DataKey        `db:"encrypted_kms_key_two" rowseal:"name=two"`
	Right           rowseal.Sealed[string] `db:"right_ciphertext" rowseal:"key=two"`
	Index           blindindex.Index       `db:"pair_bidx" rowseal:"of=Left+Right,algorithm=hmac_sha256,column=pair_bidx"`
}

// Keyed is a row with a primary key of any type, which the database may make: GORM wants to be told.
type Keyed[ID any] struct {
	ID              ID                     `db:"id" gorm:"default:(-)"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Value           rowseal.Sealed[string] `db:"value_ciphertext"`
}

// TableName names the table to GORM.
func (Keyed[ID]) TableName() string { return "keyed" }

// createTables has ID for an id that the database makes.
const createTables = `
	DROP TABLE IF EXISTS accounts; DROP TABLE IF EXISTS notes; DROP TABLE IF EXISTS visits; DROP TABLE IF EXISTS pairs; DROP TABLE IF EXISTS keyed;
	CREATE TABLE accounts (id ID PRIMARY KEY, name varchar(100) NOT NULL, encrypted_kms_key text, email_ciphertext text, email_bidx text,
		phone_ciphertext text, encrypted_kms_key_pin text, pin_ciphertext text);
	CREATE TABLE notes (id bigint PRIMARY KEY, account_id bigint, encrypted_kms_key text, text_ciphertext text);
	CREATE TABLE visits (id bigint PRIMARY KEY, clinic varchar(100) NOT NULL, room varchar(100) NOT NULL, encrypted_kms_key text, reason_ciphertext text);
	CREATE TABLE pairs (id bigint PRIMARY KEY, encrypted_kms_key text, left_ciphertext text, encrypted_kms_key_two text, right_ciphertext text, pair_bidx text)`

// statements splits SQL, with the types that each database has for what the suite's tables need.
func statements(d dbtest.Database, sql string) []string {
	id := map[string]string{dbtest.PostgreSQL.Name: "bigserial", dbtest.MariaDB.Name: "bigint AUTO_INCREMENT", dbtest.SQLite.Name: "integer"}[d.Name]
	return strings.Split(strings.ReplaceAll(sql, " ID ", " "+id+" "), ";")
}
