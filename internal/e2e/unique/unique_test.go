// Package unique holds a database's UNIQUE index over a blind index to what it is for.
package unique

import (
	"crypto/sha256"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	_ "modernc.org/sqlite"
)

type member struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,normalize=lower"` // email_bidx
	Nick            rowseal.Sealed[string]
	NickIndex       blindindex.Index `rowseal:"of=Nick,normalize=presence"` // nick_bidx
}

// club has members in a table where e-mails and nicks are unique.
type club struct {
	*testing.T
	db      *sql.DB
	members *rowseal.Model[member]
}

func newClub(t *testing.T) club {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "club.sqlite3"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, statement := range []string{
		`CREATE TABLE members (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx TEXT, nick_ciphertext TEXT, nick_bidx TEXT)`,
		`CREATE UNIQUE INDEX email ON members (email_bidx)`,
		`CREATE UNIQUE INDEX nick ON members (nick_bidx)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	secret := sha256.Sum256([]byte("the members' index key"))
	key, err := rowseal.NewMasterKey(secret[:])
	if err != nil {
		t.Fatal(err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)})
	if err != nil {
		t.Fatal(err)
	}
	members, err := rowseal.NewModel[member]("members", ring, &rowseal.Options{
		Binding: rowseal.BindRow, MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: key},
	})
	if err != nil {
		t.Fatal(err)
	}
	return club{t, db, members}
}

// insert seals and inserts a member; "-" is no nick.
func (c club) insert(id int64, email, nick string) error {
	c.Helper()
	m := &member{ID: id}
	m.Email.Set(email)
	if nick != "-" {
		m.Nick.Set(nick)
	}
	if err := c.members.Seal(c.Context(), m); err != nil {
		c.Fatal(err)
	}
	_, err := c.db.ExecContext(c.Context(), `INSERT INTO members VALUES (?, ?, ?, ?, ?, ?)`,
		m.ID, m.EncryptedKMSKey, m.Email, m.EmailIndex, m.Nick, m.NickIndex)
	return err
}

func (c club) wantRefused(what, column string, err error) {
	c.Helper()
	if err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed: members."+column) {
		c.Errorf("%s: %v", what, err)
	}
}

func (c club) wantCount(where string, want int) {
	c.Helper()
	var n int
	if err := c.db.QueryRowContext(c.Context(), `SELECT count(*) FROM members WHERE `+where).Scan(&n); err != nil || n != want {
		c.Errorf("%d members where %s, %v; want %d", n, where, err, want)
	}
}

func TestASecondRowWithAnEqualValueIsNotInserted(t *testing.T) {
	c := newClub(t)
	if err := c.insert(1, "ada@example.org", "-"); err != nil {
		t.Fatal(err)
	}
	c.wantRefused("equal", "email_bidx", c.insert(2, "ada@example.org", "-"))
	c.wantRefused("in other letters", "email_bidx", c.insert(3, "Ada@Example.ORG", "-"))
	if err := c.insert(4, "eve@example.org", "-"); err != nil {
		t.Error(err)
	}
	c.wantCount("true", 2)
}

func TestValuesThatAreLeftOutDoNotCollide(t *testing.T) {
	c := newClub(t)
	for i, nick := range []string{"", " ", "\t\n", "\u00a0", "-", "-", "", " "} {
		if err := c.insert(int64(i+1), string(rune('a'+i))+"@example.org", nick); err != nil {
			t.Errorf("%q: %v", nick, err)
		}
	}
	c.wantCount("nick_bidx IS NULL", 8)
	c.wantCount("nick_ciphertext IS NOT NULL", 6)
	if err := c.insert(20, "t@example.org", "ada"); err != nil {
		t.Fatal(err)
	}
	c.wantRefused("an equal nick", "nick_bidx", c.insert(21, "u@example.org", "ada"))
	c.wantCount("nick_bidx IS NOT NULL", 1)
}
