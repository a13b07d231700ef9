package columns

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// sample is a row with every type of column, and a key of each type of column.
type sample struct {
	ID       int64                     `db:"id"`
	Key      rowseal.DataKey           `db:"encrypted_kms_key"`
	Text     rowseal.Sealed[string]    `db:"text_ciphertext"`
	Index    blindindex.Index          `db:"text_bidx" rowseal:"of=Text,algorithm=hmac_sha256"`
	Number   rowseal.Sealed[int64]     `db:"number_ciphertext"`
	Time     rowseal.Sealed[time.Time] `db:"time_ciphertext"`
	Old      rowseal.Sealed[string]    `db:"encrypted_old" rowseal:"codec=attr_encrypted,mode=per_attribute_iv_and_salt"`
	OldIV    rowseal.IV                `db:"encrypted_old_iv" rowseal:"of=Old"`
	OldSalt  rowseal.Salt              `db:"encrypted_old_salt" rowseal:"of=Old"`
	File     rowseal.File              `db:"scan_file"`
	BytesKey rowseal.DataKey           `db:"encrypted_kms_key_bytes" rowseal:"name=bytes,bytes"`
	Bytes    rowseal.Sealed[[]byte]    `db:"bytes_ciphertext" rowseal:"key=bytes,raw"`
	RawIndex blindindex.Index          `db:"bytes_bidx" rowseal:"of=Bytes,algorithm=hmac_sha256,raw"`
	RawOld   rowseal.Sealed[string]    `db:"encrypted_raw" rowseal:"key=bytes,codec=attr_encrypted,encode=none,encode_iv=none"`
	RawOldIV rowseal.IV                `db:"encrypted_raw_iv" rowseal:"of=RawOld"`
}

// columns are those of a sample, in its order.
var columns = func() (all []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[sample]()) {
		all = append(all, f.Tag.Get("db"))
	}
	return all
}()

// isBytes tells which columns are of bytes.
func isBytes(column string) bool {
	return slices.Contains([]string{"encrypted_kms_key_bytes", "bytes_ciphertext", "bytes_bidx", "encrypted_raw", "encrypted_raw_iv"}, column)
}

func createTable(d sqlseal.Dialect) string {
	byteType := map[sqlseal.Dialect]string{sqlseal.PostgreSQL: "bytea", sqlseal.MySQL: "longblob", sqlseal.SQLite: "BLOB"}[d]
	var all []string
	for _, c := range columns {
		switch {
		case c == "id":
			c += " bigint PRIMARY KEY"
		case isBytes(c):
			c += " " + byteType
		default:
			c += " text"
		}
		all = append(all, c)
	}
	return "CREATE TABLE samples (" + strings.Join(all, ", ") + ")"
}

// targets are where a driver scans the columns to.
func (s *sample) targets() (all []any) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		all = append(all, v.Field(i).Addr().Interface())
	}
	return all
}

// args are what a driver writes.
func (s *sample) args() (all []any) {
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		all = append(all, v.Field(i).Interface())
	}
	return all
}

// values are what may be in a sample; "" and nothing else is NULL.
type values struct {
	text, old, bytes, rawOld, file string
	number                         int64
	time                           time.Time
}

// secrets are how a program would print what must be printed nowhere.
var secrets = []string{"sesame", "8252345678", "2031-02-03", "[115 101 115 97 109 101", "73657361"}

func someValues(n int) values {
	return values{
		text: fmt.Sprint("sesame text ", n), old: fmt.Sprint("sesame old ", n), bytes: fmt.Sprint("sesame bytes\x00\xff ", n),
		rawOld: fmt.Sprint("sesame raw ", n), file: fmt.Sprint("sesame file ", n),
		number: 8_252_345_678_000 + int64(n), time: time.Date(2031, 2, 3, 4, 5, 6, n*1000, time.UTC),
	}
}

func (s *sample) set(v values) {
	s.Text.Set(v.text)
	s.Number.Set(v.number)
	s.Time.Set(v.time)
	s.Old.Set(v.old)
	s.Bytes.Set([]byte(v.bytes))
	s.RawOld.Set(v.rawOld)
	if v.file != "" {
		s.File.Set(strings.NewReader(v.file), rowseal.FileInfo{Name: "sesame.txt"})
	}
}

func (s *sample) get(t *testing.T) (v values) {
	t.Helper()
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	get := func(f rowseal.Sealed[string]) string {
		text, e := f.Get()
		keep(e)
		return text
	}
	v.text, v.old, v.rawOld = get(s.Text), get(s.Old), get(s.RawOld)
	number, e := s.Number.Get()
	keep(e)
	at, e := s.Time.Get()
	keep(e)
	raw, e := s.Bytes.Get()
	keep(e)
	file, e := s.File.Open(t.Context())
	keep(e)
	must(t, err)
	content, err := io.ReadAll(file)
	must(t, err)
	v.number, v.time, v.bytes, v.file = number, at, string(raw), string(content)
	return v
}

func newModel(t *testing.T) *rowseal.Model[sample] {
	t.Helper()
	secret := sha256.Sum256([]byte("the index key"))
	indexKey, err := rowseal.NewMasterKey(secret[:])
	must(t, err)
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 100}, nil)})
	must(t, err)
	m, err := rowseal.NewModel[sample]("samples", ring, &rowseal.Options{
		Binding: rowseal.BindNone, // attr_encrypted's format knows no other
		Store:   &storetest.Memory{}, MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
	})
	must(t, err)
	return m
}

// sealed returns a row that is ready to be inserted.
func sealed(t *testing.T, m *rowseal.Model[sample], id int64, v values) *sample {
	t.Helper()
	s := &sample{ID: id}
	if v != (values{}) {
		s.set(v)
	}
	must(t, m.Seal(t.Context(), s))
	return s
}

// same tells whether a column of the database has what was written.
func same(stored, written any) bool {
	text := func(v any) []byte {
		switch v := v.(type) {
		case string:
			return []byte(v)
		case []byte:
			return v
		}
		return nil
	}
	return (stored == nil) == (written == nil) && bytes.Equal(text(stored), text(written))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
