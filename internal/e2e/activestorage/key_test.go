package activestorage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// A file under a key that the row does not have is lost, so none is stored.
func TestAFileUnderAKeyThatTheRowDoesNotHaveIsRefused(t *testing.T) {
	document := textFile("d.txt", "x")
	ways := map[string]func(ctx context.Context, a *app, change *activestorage.Change, old, fresh *rowseal.FileBox) error{
		"Attach": func(ctx context.Context, _ *app, change *activestorage.Change, old, _ *rowseal.FileBox) error {
			_, err := change.Attach(ctx, user(3), "documents", document, old)
			return err
		},
		"Replace": func(ctx context.Context, _ *app, change *activestorage.Change, old, _ *rowseal.FileBox) error {
			_, err := change.Replace(ctx, user(3), "license", document, old)
			return err
		},
		"Reseal": func(ctx context.Context, a *app, change *activestorage.Change, old, fresh *rowseal.FileBox) error {
			return change.Reseal(ctx, old, fresh, a.load(t, 3).Of(3, "documents")...)
		},
		"Reseal of nothing": func(ctx context.Context, _ *app, change *activestorage.Change, old, fresh *rowseal.FileBox) error {
			return change.Reseal(ctx, old, fresh)
		},
		"ResealAll": func(ctx context.Context, _ *app, change *activestorage.Change, old, fresh *rowseal.FileBox) error {
			return change.ResealAll(ctx, user(3), "documents", old, fresh)
		},
		"Reseal from a master key": func(ctx context.Context, a *app, change *activestorage.Change, old, _ *rowseal.FileBox) error {
			avatar, _ := a.load(t, 3).One(3, "avatar")
			return change.Reseal(ctx, avatarBox, old, avatar)
		},
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for what, way := range ways {
			t.Run(what, func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				old := a.rowBox(t, 3)
				must(t, a.rekey(t, a.user(t, 3), a.underRowKey(t)...))
				before, objects := a.readAll(t), a.objects(t)
				err := a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
					err := way(t.Context(), a, change, old, a.rowBox(t, 3))
					if !slices.Equal(a.objects(t), objects) {
						t.Error("an object was stored")
					}
					return err
				})
				if !errors.Is(err, activestorage.ErrConflict) || !strings.Contains(err.Error(), "users.encrypted_kms_key does not hold") {
					t.Errorf("%v, want %v", err, activestorage.ErrConflict)
				}
				if !maps.Equal(a.readAll(t), before) {
					t.Error("the files are others")
				}
			})
		}
	})
}

func TestAFirstKeyIsSavedBeforeAFileIsAttachedUnderIt(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		a.exec(t, "INSERT INTO users (id, created_at, updated_at) VALUES (6, '2026-11-23 12:00:00', '2026-11-23 12:00:00')")
		attach := func(save bool) error {
			u := a.user(t, 6)
			box, err := users.Box(t.Context(), u, "documents")
			must(t, err)
			return a.inTx(t, func(tx *sql.Tx, change *activestorage.Change) error {
				if save {
					must(t, a.saveKey(t.Context(), tx, u))
				}
				_, err := change.Attach(t.Context(), user(6), "documents", textFile("d.txt", "first"), box)
				return err
			})
		}
		err := attach(false)
		if !errors.Is(err, activestorage.ErrConflict) || !strings.Contains(err.Error(), "save a new key first, in this transaction") {
			t.Errorf("a key that is not saved: %v", err)
		}
		if len(a.objects(t)) != 14 {
			t.Errorf("%d objects", len(a.objects(t)))
		}
		must(t, attach(true))
		if got := a.readAll(t)["6/documents/d.txt"]; got != "first" {
			t.Errorf("the second reader sees %q", got)
		}

		u := a.user(t, 6)
		box, err := users.Box(t.Context(), u, "documents")
		must(t, err)
		a.exec(t, "DELETE FROM users WHERE id = 6")
		err = a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
			_, err := change.Attach(t.Context(), user(6), "documents", textFile("d.txt", "second"), box)
			return err
		})
		if !errors.Is(err, activestorage.ErrConflict) {
			t.Errorf("of a row that is gone: %v", err)
		}
	})
}

func TestWhatIsAttachedBesideARekeyIsNotForgotten(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		u, loaded := a.user(t, 3), a.underRowKey(t)
		a.attach(t, 3, "documents", textFile("more.txt", "more"), a.rowBox(t, 3))
		before := a.readAll(t)
		err := a.rekey(t, u, loaded...)
		if !errors.Is(err, activestorage.ErrConflict) || !strings.Contains(err.Error(), "attachment 15 ") {
			t.Errorf("one was attached since: %v", err)
		}
		if !maps.Equal(a.readAll(t), before) || len(a.strays(t)) != 0 {
			t.Errorf("it leaves %v", a.strays(t))
		}
		must(t, a.rekeyAll(t, u, nil))
		if !maps.Equal(a.readAll(t), before) || len(a.strays(t)) != 0 {
			t.Errorf("all resealed, it leaves %v", a.strays(t))
		}
	})
}

// rekeyAll gives the user a new data key, and everything under the old one, unless it ends with the error.
func (a *app) rekeyAll(t testing.TB, u *User, end error) error {
	t.Helper()
	err := a.inTx(t, func(tx *sql.Tx, change *activestorage.Change) error {
		err := users.RekeyWith(t.Context(), u, func(name string, from, to *rowseal.FileBox) error {
			return change.ResealAll(t.Context(), user(u.ID), name, from, to)
		})
		if err != nil {
			return err
		}
		if err := a.saveKey(t.Context(), tx, u); err != nil {
			return err
		}
		return end
	})
	if err == nil {
		must(t, users.Committed(t.Context(), u))
	}
	return err
}

func TestARekeyThatWasRolledBackStartsAgain(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		u, before := a.user(t, 3), a.readAll(t)
		failed := errors.New("failed")
		for range 2 {
			if err := a.rekeyAll(t, u, failed); !errors.Is(err, failed) {
				t.Errorf("%v, want %v", err, failed)
			}
			if !maps.Equal(a.readAll(t), before) || len(a.strays(t)) != 0 {
				t.Errorf("rolled back, it leaves %v", a.strays(t))
			}
		}
		old := a.rowBox(t, 3)
		must(t, a.rekeyAll(t, u, nil))
		if !maps.Equal(a.readAll(t), before) || len(a.strays(t)) != 0 {
			t.Errorf("it leaves %v", a.strays(t))
		}
		license, _ := a.load(t, 3).One(3, "license")
		if _, err := a.files.Open(t.Context(), license, old); !errors.Is(err, activestorage.ErrDecryptionFailed) {
			t.Errorf("under the old key: %v", err)
		}
		box, err := users.Box(t.Context(), u, "license") // of the row as it is by now
		must(t, err)
		a.attach(t, 3, "documents", textFile("more.txt", "more"), box)
		if got := a.readAll(t)["3/documents/more.txt"]; got != "more" {
			t.Errorf("attached afterwards: %q", got)
		}
	})
}

// In SQLite a transaction that reads first and writes later fails where another one does so too, instead of waiting.
func TestManyAttachAtTheSameTime(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		box := a.rowBox(t, 3)
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				err := a.files.Update(t.Context(), a.db, func(_ *sql.Tx, change *activestorage.Change) error {
					_, err := change.Attach(t.Context(), user(3), "documents", textFile(fmt.Sprint(n), "x"), box)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if files := a.readAll(t); len(files) != 14+8 {
			t.Errorf("%d files", len(files))
		}
	})
}

// Of two who want the same row, one waits for the other's transaction, and then sees what it did.
func TestAttachingWhileAnotherRekeysLosesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		type act = func(ctx context.Context, a *app, old *rowseal.FileBox, change *activestorage.Change, tx *sql.Tx) error
		attach := func(ctx context.Context, a *app, old *rowseal.FileBox, change *activestorage.Change, _ *sql.Tx) error {
			_, err := change.Attach(ctx, user(3), "documents", textFile("more.txt", "more"), old)
			return err
		}
		rekey := func(ctx context.Context, a *app, _ *rowseal.FileBox, change *activestorage.Change, tx *sql.Tx) error {
			u, err := a.loadUser(ctx, 3)
			if err != nil {
				return err
			}
			err = users.RekeyWith(ctx, u, func(name string, from, to *rowseal.FileBox) error {
				return change.ResealAll(ctx, user(3), name, from, to)
			})
			if err != nil {
				return err
			}
			return a.saveKey(ctx, tx, u)
		}
		for what, c := range map[string]struct{ first, second act }{
			"an attachment first": {attach, rekey},
			"a rekey first":       {rekey, attach},
		} {
			t.Run(what, func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				before, old := a.readAll(t), a.rowBox(t, 3)
				second := make(chan error, 1)
				err := a.files.Update(t.Context(), a.db, func(tx *sql.Tx, change *activestorage.Change) error {
					err := c.first(t.Context(), a, old, change, tx)
					go func() {
						second <- a.files.Update(t.Context(), a.db, func(tx *sql.Tx, change *activestorage.Change) error {
							return c.second(t.Context(), a, old, change, tx)
						})
					}()
					select {
					case early := <-second:
						second <- early
					case <-time.After(200 * time.Millisecond): // it waits
					}
					return err
				})
				must(t, err)
				err = <-second
				if err != nil && !errors.Is(err, activestorage.ErrConflict) {
					t.Error(err)
				}
				if what == "a rekey first" && err == nil {
					t.Error("a file was attached under the old key")
				}
				files := a.readAll(t)
				if what == "an attachment first" && files["3/documents/more.txt"] != "more" {
					t.Error("the attachment is lost")
				}
				delete(files, "3/documents/more.txt")
				if !maps.Equal(files, before) || len(a.strays(t)) != 0 {
					t.Errorf("%d files, and %v", len(files), a.strays(t))
				}
			})
		}
	})
}
