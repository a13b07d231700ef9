package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// demoUser is a row of the demo's table.
type demoUser struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	BornOn          rowseal.Sealed[time.Time] `rowseal:"type=date"`
}

const (
	createUsers = `CREATE TABLE users (
    id                 INTEGER PRIMARY KEY,
    name               TEXT NOT NULL,
    encrypted_kms_key  TEXT,
    email_ciphertext   TEXT,
    born_on_ciphertext TEXT)`
	insertUser  = `INSERT INTO users VALUES (?, ?, ?, ?, ?)`
	selectUsers = `SELECT id, name, encrypted_kms_key, email_ciphertext, born_on_ciphertext FROM users ORDER BY id`
	copyUser    = `INSERT INTO users SELECT ?, ?, encrypted_kms_key, email_ciphertext, born_on_ciphertext FROM users WHERE id = ?`
	deleteUser  = `DELETE FROM users WHERE id = ?`
	// Both updates compare the key column with what was loaded, so that no other writer's row is overwritten.
	updateSealed = `UPDATE users SET encrypted_kms_key = ?, email_ciphertext = ?, born_on_ciphertext = ?
    WHERE id = ? AND encrypted_kms_key = ?`
	updateKey = `UPDATE users SET encrypted_kms_key = ? WHERE id = ? AND encrypted_kms_key = ?`
)

func (d *demo) setUp(ctx context.Context) error {
	key, err := d.master.setUp(ctx, d)
	if err != nil {
		return err
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return err
	}
	if d.users, err = rowseal.NewModel[demoUser]("users", ring, &rowseal.Options{Model: "User"}); err != nil {
		return err
	}
	d.show("table  users in %s", filepath.Join(d.dir, "users.sqlite3"))
	_, err = d.db.ExecContext(ctx, createUsers)
	return err
}

func (d *demo) seal(ctx context.Context) error {
	d.begin("Seal", `Three people are saved. Each row gets 32 random bytes, its data key, under which its fields are sealed on this
		machine. `+d.master.words().wraps)
	people := []struct {
		name, email string
		born        time.Time
	}{
		{"Ada", "ada@example.org", date(1815, time.December, 10)},
		{"Grace", "grace@example.org", date(1906, time.December, 9)},
		{"Katherine", "katherine@example.org", date(1918, time.August, 26)},
	}
	rows := make([]demoUser, len(people))
	for i, p := range people {
		rows[i] = demoUser{ID: int64(i + 1), Name: p.name}
		rows[i].Email.Set(p.email)
		rows[i].BornOn.Set(p.born)
		d.show("%d  %-9s  %-21s  %s", i+1, p.name, p.email, p.born.Format(time.DateOnly))
	}
	if err := d.users.SealSlice(ctx, rows); err != nil {
		return err
	}
	for _, u := range rows {
		if err := d.change(ctx, insertUser, u.ID, u.Name, u.EncryptedKMSKey, u.Email, u.BornOn); err != nil {
			return err
		}
	}
	d.cost()
	return nil
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func (d *demo) showStored(ctx context.Context) error {
	d.begin("What is stored", `This is row 1 as the database and its backups hold it, and all that their thief gets:`)
	var id, name, key, email, born string
	if err := d.db.QueryRowContext(ctx, selectUsers).Scan(&id, &name, &key, &email, &born); err != nil {
		return err
	}
	d.show("id                  %s", id)
	d.show("name                %s", name)
	d.show("encrypted_kms_key   %s", shorten(key))
	d.show("email_ciphertext    %s", shorten(email))
	d.show("born_on_ciphertext  %s", shorten(born))
	return nil
}

func (d *demo) open(ctx context.Context) error {
	d.begin("Open", `Rows are loaded sealed, and nothing opens by itself: a row that nobody asked for is in no log. One call opens the
		rows it is given, `+d.master.words().opens)
	rows, err := d.load(ctx)
	if err != nil {
		return err
	}
	d.show("loaded  %+v", *rows[0])
	fmt.Fprintln(d.out)
	if err := d.users.Open(ctx, rows...); err != nil {
		return err
	}
	for _, u := range rows {
		email, emailErr := u.Email.Get()
		born, bornErr := u.BornOn.Get()
		if err := errors.Join(emailErr, bornErr); err != nil {
			return err
		}
		d.show("opened  %d  %-9s  %-21s  %s", u.ID, u.Name, email, born.Format(time.DateOnly))
	}
	d.cost()
	return nil
}

func (d *demo) load(ctx context.Context) ([]*demoUser, error) {
	found, err := d.db.QueryContext(ctx, selectUsers)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []*demoUser
	for found.Next() {
		u := new(demoUser)
		if err := found.Scan(&u.ID, &u.Name, &u.EncryptedKMSKey, &u.Email, &u.BornOn); err != nil {
			return nil, err
		}
		rows = append(rows, u)
	}
	return rows, found.Err()
}

// change carries out a statement that must change one row.
func (d *demo) change(ctx context.Context, statement string, args ...any) error {
	result, err := d.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("the statement changed %s, not one", count(int(n), "row"))
	}
	return err
}

func (d *demo) stealRow(ctx context.Context) error {
	d.begin("A stolen row", `Mallory can write to the database. She copies what is stored of Ada, wrapped data key included, into a row 66
		of her own, and has the application open it. `+d.master.words().refuses)
	if err := d.change(ctx, copyUser, 66, "Mallory", 1); err != nil {
		return err
	}
	rows, err := d.load(ctx)
	if err != nil {
		return err
	}
	err = d.users.Open(ctx, rows...)
	if !errors.Is(err, rowseal.ErrDecryptionFailed) {
		return fmt.Errorf("the stolen row was not refused (%v)", err)
	}
	d.refused(err)
	fmt.Fprintln(d.out)
	intact := rows[:len(rows)-1]
	for _, u := range intact {
		if _, err := u.Email.Get(); err != nil {
			return err
		}
	}
	d.show("The other %s of the same call are open.", count(len(intact), "row"))
	if err := d.change(ctx, deleteUser, 66); err != nil {
		return err
	}
	d.show("Row 66 is deleted again.")
	return nil
}

func (d *demo) sealOnly(ctx context.Context) error {
	d.begin("Write without the right to read", `A service that takes in e-mail addresses need not be able to read them. It gets a
		Sealer, which cannot open, and `+d.master.words().refusesRight+` Grace's row has a data key, which would have to be opened to seal a
		new address under it:`)
	rows, err := d.load(ctx)
	if err != nil {
		return err
	}
	grace, sealer := rows[1], d.users.Sealer()
	grace.Email.Set("hopper@example.org")
	err = sealer.Seal(ctx, grace)
	if !errors.Is(err, kms.ErrAccessDenied) {
		return fmt.Errorf("the sealer was not refused the row's data key (%v)", err)
	}
	d.refused(err)
	fmt.Fprintln(d.out)
	d.say("So it clears the row and seals all of its fields, under a new data key:")
	fmt.Fprintln(d.out)

	sealer.Clear(grace)
	grace.Email.Set("hopper@example.org")
	grace.BornOn.Set(date(1906, time.December, 9))
	if err := sealer.Seal(ctx, grace); err != nil {
		return err
	}
	stored, _ := grace.EncryptedKMSKey.Stored()
	if err := d.change(ctx, updateSealed, grace.EncryptedKMSKey, grace.Email, grace.BornOn, grace.ID, stored); err != nil {
		return err
	}
	d.show("%d  %-9s  %s", grace.ID, grace.Name, "hopper@example.org")
	d.cost()
	return nil
}

func (d *demo) rotate(ctx context.Context) error { return d.master.rotate(ctx, d) }

// rewrap stores what Rewrap makes of all rows, and returns what row 1 had and has.
func (d *demo) rewrap(ctx context.Context) (before, after string, err error) {
	rows, err := d.load(ctx)
	if err != nil {
		return "", "", err
	}
	before = rows[0].EncryptedKMSKey.Wrapped()
	if err := d.users.Rewrap(ctx, rows...); err != nil {
		return "", "", err
	}
	for _, u := range rows {
		stored, _ := u.EncryptedKMSKey.Stored()
		if err := d.change(ctx, updateKey, u.EncryptedKMSKey, u.ID, stored); err != nil {
			return "", "", err
		}
	}
	return before, rows[0].EncryptedKMSKey.Wrapped(), nil
}

func (d *demo) showRewrap(before, after string) {
	d.show("row 1, before  %s", shorten(before))
	d.show("row 1, after   %s", shorten(after))
	d.cost()
}

func (d *demo) switchOff(ctx context.Context) error { return d.master.switchOff(ctx, d) }

func (d *demo) showLog(context.Context) error {
	d.begin("The log", `Each call was observed, with the rows that were refused. The Sealer refused on its own, without a call. `+d.master.words().log)
	d.show("%-8s %8s  %-33s  %s", "call", "requests", "rows", "result")
	for _, e := range d.observed.events {
		d.show("%-8s %8d  %-33s  %s", e.Op, e.Requests, rowNames(e.Items), eventResult(e))
	}
	return nil
}

func rowNames(items []kms.EventItem) string {
	var ids []string
	for _, it := range items {
		ids = append(ids, it.Context["model_name"]+" "+it.Context["model_id"])
	}
	return strings.Join(ids, ", ")
}

func eventResult(e kms.Event) string {
	var refused []kms.EventItem
	for _, it := range e.Items {
		if it.Err != nil {
			refused = append(refused, it)
		}
	}
	if len(refused) == 0 {
		return "ok"
	}
	return rowNames(refused) + " refused"
}

func (d *demo) tryIt(ctx context.Context) error {
	rows, err := d.load(ctx)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	d.begin("Try it yourself", `The first decrypt prints the data key of row 1. The second claims to be row 2, and is refused. Where rowseal is
		not installed, "go run ./cmd/rowseal" in the checkout does the same.`)
	rowseal, id := d.master.command(dir)
	decrypt := rowseal + " decrypt --key-id " + id + ` --base64 "$wrapped" --context model_name=User --context model_id=`
	d.show("wrapped=%s", rows[0].EncryptedKMSKey.Wrapped())
	d.show("%s keys check %s", rowseal, id)
	d.show("%s1", decrypt)
	d.show("%s2", decrypt)
	d.show("rm -r %s    # when you have seen enough", shellQuote(dir))
	return nil
}
