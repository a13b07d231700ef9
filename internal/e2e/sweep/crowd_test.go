package sweep_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// crowd is writers at full speed beside sweeps. Each writer has rows of its own, and knows what they must hold.
type crowd struct {
	*world
	model  *rowseal.Model[patient]
	table  *sqlseal.Table[patient]
	stop   atomic.Bool
	writes atomic.Int64
	beside string // what overwrite writes too, in SQL
	mu     sync.Mutex
	mails  map[int]string
	phones map[int]string
}

const crowdRows, crowdWriters = 200, 4

func newCrowd(w *world, opts *rowseal.Options) *crowd {
	c := &crowd{world: w, mails: map[int]string{}, phones: map[int]string{}}
	var err error
	c.model, err = rowseal.NewModel[patient]("patients", w.both, opts)
	w.must(err)
	c.table = sqlseal.New(c.model, &sqlseal.Options{Columns: []string{"ward"}})
	var all []*patient
	for id := 1; id <= crowdRows; id++ {
		p := &patient{ID: int64(id), Ward: "A"}
		c.mails[id], c.phones[id] = email(id), phone(id)
		p.Email.Set(c.mails[id])
		p.Phone.Set(c.phones[id])
		all = append(all, p)
	}
	first, err := rowseal.NewModel[patient]("patients", w.first, opts)
	w.must(err)
	w.must(sqlseal.New(first, &sqlseal.Options{Columns: []string{"ward"}}).Insert(w.Context(), w.db, all...))
	return c
}

func (c *crowd) find(id int) (*patient, error) {
	p := &patient{}
	err := c.sql.QueryRowContext(c.Context(), fmt.Sprintf(`SELECT id, ward, encrypted_kms_key, email_ciphertext, born_on_ciphertext, encrypted_kms_key_phone,
		phone_ciphertext FROM patients WHERE id = %d`, id)).Scan(&p.ID, &p.Ward, &p.EncryptedKMSKey, &p.Email, &p.BornOn, &p.EncryptedKMSKeyPhone, &p.Phone)
	return p, err
}

func (c *crowd) remember(id int, mail, tel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mail != "" {
		c.mails[id] = mail
	}
	if tel != "" {
		c.phones[id] = tel
	}
}

// rewrite changes fields of a patient, as an application does.
func (c *crowd) rewrite(id int, n int64) error {
	p, err := c.find(id)
	if err != nil {
		return err
	}
	mail, tel := fmt.Sprintf("%d-%d@example.org", id, n), ""
	p.Email.Set(mail)
	if n%3 == 0 {
		tel = fmt.Sprintf("+49 %d %d", id, n)
		p.Phone.Set(tel)
	}
	if err := c.table.Update(c.Context(), c.db, p); err != nil {
		return err
	}
	c.remember(id, mail, tel)
	return nil
}

// moveWard changes a column of the context, with new data keys in the same statement. After a rekey, whose values it would replace
// unseen, it loads the row again.
func (c *crowd) moveWard(id int, n int64) error {
	for {
		if err := c.tryToMoveWard(id, n); !errors.Is(err, rowseal.ErrConflict) {
			return err
		}
	}
}

func (c *crowd) tryToMoveWard(id int, n int64) error {
	p, err := c.find(id)
	if err != nil {
		return err
	}
	mail, tel := fmt.Sprintf("%d-%d@example.org", id, n), fmt.Sprintf("+49 %d %d", id, n)
	c.model.Clear(p)
	p.Ward = string(rune('A' + n%26))
	p.Email.Set(mail)
	p.Phone.Set(tel)
	if err := c.table.Update(c.Context(), c.db, p); err != nil {
		return err
	}
	c.remember(id, mail, tel)
	return nil
}

// overwrite writes a field as a program does that compares nothing, as a Rails application.
func (c *crowd) overwrite(id int, n int64) error {
	p, err := c.find(id)
	if err != nil {
		return err
	}
	if err := c.model.Open(c.Context(), p); err != nil {
		return err
	}
	mail := fmt.Sprintf("%d-%d@example.org", id, n)
	p.Email.Set(mail)
	if err := c.model.Seal(c.Context(), p); err != nil {
		return err
	}
	query := fmt.Sprintf(`UPDATE patients SET email_ciphertext = %s%s WHERE id = %d`, c.db.Placeholder(1), c.beside, id)
	if _, err := c.sql.ExecContext(c.Context(), query, p.Email.Ciphertext()); err != nil {
		return err
	}
	c.remember(id, mail, "")
	return nil
}

// run lets all write until the time is over, and sweeps meanwhile, again and again.
func (c *crowd) run(write func(id int, n int64) error, sweeps func() error) {
	c.Helper()
	length := 3 * time.Second
	if os.Getenv("ROWSEAL_SOAK") != "" {
		length = 60 * time.Second
	}
	var wg sync.WaitGroup
	for writer := range crowdWriters {
		wg.Go(func() {
			for n := int64(1); !c.stop.Load(); n++ {
				id := 1 + writer + crowdWriters*rand.IntN(crowdRows/crowdWriters)
				if err := write(id, n); err != nil && !errors.Is(err, sql.ErrNoRows) {
					c.Errorf("patient %d: %v", id, err)
					return
				}
				c.writes.Add(1)
			}
		})
	}
	time.AfterFunc(length, func() { c.stop.Store(true) })
	rounds := 0
	for ; !c.stop.Load() && !c.Failed(); rounds++ {
		if err := sweeps(); err != nil {
			c.Error(err)
		}
	}
	c.stop.Store(true)
	wg.Wait()
	c.Logf("%d writes beside %d sweeps", c.writes.Load(), rounds)
	if rounds == 0 || c.writes.Load() == 0 {
		c.Error("nothing was tried")
	}
	all := c.load()
	c.must(c.model.Open(c.Context(), all...))
	for _, p := range all {
		mail, err := p.Email.Get()
		c.must(err)
		tel, err := p.Phone.Get()
		c.must(err)
		if id := int(p.ID); mail != c.mails[id] || tel != c.phones[id] {
			c.Errorf("patient %d has %s and %s, and %s and %s were written last", id, mail, tel, c.mails[id], c.phones[id])
		}
	}
}

// sweep runs a step that must do every row.
func (c *crowd) sweep(step sweep.Step) error {
	status, err := sweep.Run(c.Context(), c.db, c.model.Rows(), step, &sweep.Options{Page: 40, Restart: true})
	if err == nil && status.Quarantined > 0 {
		err = fmt.Errorf("in quarantine: %v", status.Failures)
	}
	return err
}

func TestNothingIsLostBesideSweeps(t *testing.T) {
	onEach(t, func(w *world) {
		c := newCrowd(w, nil)
		round := 0
		c.run(c.rewrite, func() error {
			round++
			switch round % 3 {
			case 0:
				return c.sweep(&sweep.RewrapStep{All: true})
			case 1:
				return c.sweep(&sweep.RekeyStep{})
			}
			return c.sweep(&sweep.VerifyStep{})
		})
	})
}

// TestAnIndexIsOfTheValueBesideIt: an application that writes a value sets its index, which it does not know, to NULL. An index that
// was made of the value before must not come after that.
func TestAnIndexIsOfTheValueBesideIt(t *testing.T) {
	onEach(t, func(w *world) {
		w.exec(`ALTER TABLE patients ADD COLUMN note_ciphertext TEXT`)
		w.exec(`ALTER TABLE patients ADD COLUMN email_bidx VARCHAR(100)`)
		table, err := noted(w.both)
		w.must(err)
		c := newCrowd(w, nil)
		c.beside = ", email_bidx = NULL"
		c.run(c.overwrite, func() error {
			status, err := sweep.Run(w.Context(), w.db, table.Rows(), &sweep.IndexStep{}, &sweep.Options{Page: 40})
			if err == nil && status.Quarantined > 0 {
				err = fmt.Errorf("in quarantine: %v", status.Failures)
			}
			return err
		})
		indexed := 0
		for id, mail := range c.mails {
			found, err := table.Lookup(w.Context(), "email_bidx", mail)
			w.must(err)
			is := w.one(fmt.Sprintf(`SELECT email_bidx FROM patients WHERE id = %d`, id))
			if is != "" && is != fmt.Sprint(found[0]) {
				w.Errorf("patient %d has the index %q of another value than %s", id, is, mail)
			}
			if is != "" {
				indexed++
			}
		}
		if indexed == 0 {
			w.Error("there are no indexes")
		}
	})
}

func TestARewrapIsSafeBesideAWriterThatComparesNothing(t *testing.T) {
	onEach(t, func(w *world) {
		c := newCrowd(w, nil)
		c.run(c.overwrite, func() error {
			w.new.Rotate()
			return c.sweep(&sweep.RewrapStep{})
		})
	})
}

func TestAContextMayChangeInTheMiddleOfAPage(t *testing.T) {
	onEach(t, func(w *world) {
		rule := func(key string) rowseal.KeyOptions {
			return rowseal.KeyOptions{Context: rowseal.ContextRule{Names: map[string]string{"id": "{id}", "ward": "{ward}", "key": key}}}
		}
		c := newCrowd(w, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": rule("main"), "phone": rule("phone")}})
		round := 0
		c.run(c.moveWard, func() error {
			w.new.Rotate()
			if round++; round%2 == 0 {
				return c.sweep(&sweep.RekeyStep{})
			}
			return c.sweep(&sweep.RewrapStep{})
		})
	})
}
