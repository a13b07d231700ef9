package activestorage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/store"
)

// rekey is everything at once, in one transaction: user 3 gets a new data key, which seals its license and documents
// anew and one document more; its avatar is replaced; user 5 loses its document. steps are asked before and after each
// thing that is done to the database or the store.
func rekey(ctx context.Context, at site, s *steps) error {
	a, err := at.open(activestorage.Options{})
	if err != nil {
		return err
	}
	defer a.db.Close()
	a.store = steppedStore{a.store, s}
	if err := a.use(activestorage.Options{}); err != nil {
		return err
	}
	u, err := a.loadUser(ctx, 3)
	if err != nil {
		return err
	}
	found, err := a.files.Load(ctx, a.db, "User", 5)
	if err != nil {
		return err
	}
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	stepped := steppedTx{tx, s}
	change := a.files.Begin(stepped)
	if err := a.rekeyIn(ctx, stepped, change, u, found); err != nil {
		return errors.Join(err, tx.Rollback(), change.Rollback(ctx))
	}
	if err := stepped.Commit(); err != nil {
		tx.Rollback() // for a commit that was not sent
		return errors.Join(err, change.Settle(ctx, a.db))
	}
	return change.Commit(ctx)
}

func (a *app) rekeyIn(
	ctx context.Context, tx steppedTx, change *activestorage.Change, u *User, found activestorage.Attachments,
) error {
	var fresh *rowseal.FileBox
	err := users.RekeyWith(ctx, u, func(name string, from, to *rowseal.FileBox) error {
		fresh = to
		return change.ResealAll(ctx, user(3), name, from, to)
	})
	if err != nil {
		return err
	}
	if err := a.saveKey(ctx, tx, u); err != nil {
		return err
	}
	if _, err := change.Attach(ctx, user(3), "documents", textFile("more.txt", "more"), fresh); err != nil {
		return err
	}
	if _, err := change.Replace(ctx, user(3), "avatar", textFile("new.txt", "new"), avatarBox); err != nil {
		return err
	}
	return change.Purge(ctx, found.Of(5, "documents")...)
}

// steps counts what is done, and does something before the one numbered at.
type steps struct {
	at   int // -1: nothing
	done int
	do   func() error
}

func (s *steps) next() error {
	s.done++
	if s.done-1 == s.at {
		return s.do()
	}
	return nil
}

// around fails before or after the thing is done: in the second case it is done, and the answer lost.
func around[T any](s *steps, do func() (T, error)) (result T, err error) {
	if err := s.next(); err != nil {
		return result, err
	}
	if result, err = do(); err != nil {
		return result, err
	}
	return result, s.next()
}

type steppedStore struct {
	store.Store
	steps *steps
}

func (s steppedStore) Put(ctx context.Context, key string, data []byte) error {
	_, err := around(s.steps, func() (any, error) { return nil, s.Store.Put(ctx, key, data) })
	return err
}

func (s steppedStore) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	return around(s.steps, func() ([]byte, error) { return s.Store.Get(ctx, key, limit) })
}

func (s steppedStore) Delete(ctx context.Context, key string) error {
	_, err := around(s.steps, func() (any, error) { return nil, s.Store.Delete(ctx, key) })
	return err
}

type steppedTx struct {
	*sql.Tx
	steps *steps
}

func (tx steppedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := tx.steps.next(); err != nil {
		return nil, err
	}
	return tx.Tx.QueryContext(ctx, query, args...)
}

func (tx steppedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return around(tx.steps, func() (sql.Result, error) { return tx.Tx.ExecContext(ctx, query, args...) })
}

func (tx steppedTx) Commit() error {
	_, err := around(tx.steps, func() (any, error) { return nil, tx.Tx.Commit() })
	return err
}

// stepsOfRekey runs it undisturbed, and returns the files before and after, and how many steps it takes.
func stepsOfRekey(t *testing.T, a *app) (before, after map[string]string, n int) {
	t.Helper()
	before = a.readAll(t)
	s := &steps{at: -1}
	must(t, rekey(t.Context(), a.site, s))
	after = a.readAll(t)

	want := maps.Clone(before)
	delete(want, "3/avatar/a.gif")
	delete(want, "5/documents/d0.pdf")
	want["3/avatar/new.txt"], want["3/documents/more.txt"] = "new", "more"
	if len(before) != 14 || !maps.Equal(after, want) {
		t.Fatalf("from %d files to %v", len(before), slices.Sorted(maps.Keys(after)))
	}
	if strays := a.strays(t); len(strays) != 0 || len(a.objects(t)) != 14 {
		t.Fatalf("undisturbed, it leaves %v", strays)
	}
	return before, after, s.done
}

// wholly fails the test unless all has been done or nothing, and every file that the database names opens. It reports
// which.
func (a *app) wholly(t *testing.T, before, after map[string]string) (done bool) {
	t.Helper()
	files := a.readAll(t)
	if !maps.Equal(files, before) && !maps.Equal(files, after) {
		t.Errorf("neither before nor after: %v", slices.Sorted(maps.Keys(files)))
	}
	return maps.Equal(files, after)
}

func TestAFailureAtAnyStepLosesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		first := newApp(t, d, activestorage.Options{})
		before, after, n := stepsOfRekey(t, first)
		failed := errors.New("failed")
		for at := range n {
			t.Run(fmt.Sprint(at), func(t *testing.T) {
				a := newAppIn(t, d, first.dsn, activestorage.Options{})
				err := rekey(t.Context(), a.site, &steps{at: at, do: func() error { return failed }})
				if !errors.Is(err, failed) {
					t.Errorf("the error is %v", err)
				}
				done := a.wholly(t, before, after)

				var left *activestorage.LeftoverError
				told := errors.As(err, &left)
				for _, stray := range a.strays(t) {
					if !told || !slices.Contains(left.Keys, stray) {
						t.Errorf("%s is left behind, and the error is %v", stray, err)
					}
				}
				if told && left.Committed && !done {
					t.Errorf("%v, and it was not", left)
				}
			})
		}
	})
}

// In the child, the process kills itself at the step that the variable says.
const killAt = "ROWSEAL_TEST_KILL_AT"

func TestMain(m *testing.M) {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		os.Exit(dbtest.Main(m))
	}
	err = rekey(context.Background(), siteOf(os.Args[1:]), &steps{at: at, do: func() error {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return err
		}
		select {}
	}})
	fmt.Println(err)
	os.Exit(1) // not killed
}

// args tells a child where the app is.
func (at site) args() []string { return []string{at.folder, at.database.Name, at.dsn} }

func siteOf(args []string) site {
	i := slices.IndexFunc(dbtest.All(), func(d dbtest.Database) bool { return d.Name == args[1] })
	return site{folder: args[0], database: dbtest.All()[i], dsn: args[2]}
}

func TestAProcessKilledAtAnyStepLosesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		first := newApp(t, d, activestorage.Options{})
		before, after, n := stepsOfRekey(t, first)
		ends := map[bool]int{}
		for at := range n {
			t.Run(fmt.Sprint(at), func(t *testing.T) {
				a := newAppIn(t, d, first.dsn, activestorage.Options{})
				child := exec.CommandContext(t.Context(), os.Args[0], a.args()...)
				child.Env = append(os.Environ(), killAt+"="+strconv.Itoa(at))
				out, err := child.CombinedOutput()
				if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
					t.Fatalf("the child was not killed: %v\n%s", err, out)
				}
				done := a.wholly(t, before, after)
				ends[done]++

				// What it left behind is found, and nothing else is.
				for _, stray := range a.strays(t) {
					must(t, a.store.Delete(t.Context(), stray))
				}
				if a.wholly(t, before, after) != done || len(a.objects(t)) != 14 {
					t.Errorf("swept, it has %d objects", len(a.objects(t)))
				}
				if !done { // then it can be tried again
					must(t, rekey(t.Context(), a.site, &steps{at: -1}))
					if !a.wholly(t, before, after) {
						t.Error("it is not done")
					}
				}
			})
		}
		if ends[true] == 0 || ends[false] == 0 {
			t.Errorf("of %d kills %d came after the commit", n, ends[true])
		}
	})
}

func TestSettleDeletesOnlyWhatTheDatabaseNoLongerNames(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, done := range []bool{true, false} {
			t.Run(fmt.Sprintf("done %v", done), func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				before := a.readAll(t)
				old, _ := a.load(t, 1).One(1, "license")
				box := a.rowBox(t, 1)
				tx, err := a.db.BeginTx(t.Context(), nil)
				must(t, err)
				change := a.files.Begin(tx)
				_, err = change.Replace(t.Context(), user(1), "license", textFile("l.txt", "new"), box)
				must(t, err)
				if done {
					must(t, tx.Commit())
				} else {
					must(t, tx.Rollback())
				}
				for range 2 {
					err = change.Settle(t.Context(), a.db)
					must(t, change.Rollback(t.Context())) // by a defer that should not be there
					files := a.readAll(t)
					left, isLeft := errors.AsType[*activestorage.LeftoverError](err)
					switch {
					case done && (err != nil || files["1/license/l.txt"] != "new" || slices.Contains(a.objects(t), old.Blob.Key)):
						t.Errorf("committed: %v, %v", err, slices.Sorted(maps.Keys(files)))
					case !done && (!isLeft || !slices.Equal(left.Keys, a.strays(t)) || left.Committed || !maps.Equal(files, before)):
						t.Errorf("rolled back: %v, %v", err, slices.Sorted(maps.Keys(files)))
					}
				}
			})
		}
	})
}

// What a change has written and replaced again is needed neither way.
func TestAChangeMayReplaceWhatItWrote(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for name, end := range map[string]func(a *app, tx *sql.Tx, change *activestorage.Change) error{
			"commit": func(a *app, tx *sql.Tx, change *activestorage.Change) error {
				return errors.Join(tx.Commit(), change.Commit(t.Context()))
			},
			"rollback": func(a *app, tx *sql.Tx, change *activestorage.Change) error {
				return errors.Join(tx.Rollback(), change.Rollback(t.Context()))
			},
			"settle": func(a *app, tx *sql.Tx, change *activestorage.Change) error {
				return errors.Join(tx.Commit(), change.Settle(t.Context(), a.db), change.Settle(t.Context(), a.db))
			},
		} {
			t.Run(name, func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				box := a.rowBox(t, 1)
				tx, err := a.db.BeginTx(t.Context(), nil)
				must(t, err)
				change := a.files.Begin(tx)
				for _, content := range []string{"first", "second"} {
					_, err = change.Replace(t.Context(), user(1), "license", textFile("l.txt", content), box)
					must(t, err)
				}
				if err := end(a, tx, change); err != nil {
					t.Error(err)
				}
				want := map[bool]string{true: "", false: "second"}[name == "rollback"]
				if got := a.readAll(t)["1/license/l.txt"]; got != want || len(a.objects(t)) != 14 {
					t.Errorf("it is %q, with %d objects", got, len(a.objects(t)))
				}
			})
		}
	})
}

func TestSettleAfterAnEndDoesWhatIsLeftOfIt(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		away := errors.New("the store is away")
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("commit %v", commit), func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				old, _ := a.load(t, 1).One(1, "license")
				box := a.rowBox(t, 1)
				a.store = steppedStore{a.store, &steps{at: 2, do: func() error { return away }}} // after the put
				must(t, a.use(activestorage.Options{}))
				tx, err := a.db.BeginTx(t.Context(), nil)
				must(t, err)
				change := a.files.Begin(tx)
				_, err = change.Replace(t.Context(), user(1), "license", textFile("l.txt", "new"), box)
				must(t, err)

				if commit {
					must(t, tx.Commit())
					err = change.Commit(t.Context())
				} else {
					must(t, tx.Rollback())
					err = change.Rollback(t.Context())
				}
				left, ok := errors.AsType[*activestorage.LeftoverError](err)
				if !ok || !errors.Is(err, away) || left.Committed != commit || !slices.Equal(left.Keys, a.strays(t)) {
					t.Errorf("%v leaves %v", err, a.strays(t))
				}
				must(t, change.Settle(t.Context(), a.db))
				if strays := a.strays(t); len(strays) != 0 || slices.Contains(a.objects(t), old.Blob.Key) == commit {
					t.Errorf("settled, it leaves %v", strays)
				}
				if err := change.Commit(t.Context()); (err == nil) != commit {
					t.Errorf("and then commit: %v", err)
				}
				must(t, change.Rollback(t.Context()))
				a.readAll(t)
			})
		}
	})
}

func TestUpdateEndsItsTransactionAndItsChange(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		before, box := a.readAll(t), a.rowBox(t, 1)
		replace := func(_ *sql.Tx, change *activestorage.Change) error {
			_, err := change.Replace(t.Context(), user(1), "license", textFile("l.txt", "new"), box)
			return err
		}
		clean := func(what string) {
			t.Helper()
			if strays := a.strays(t); len(strays) != 0 {
				t.Errorf("%s leaves %v", what, strays)
			}
		}

		refused := errors.New("refused")
		err := a.files.Update(t.Context(), a.db, func(tx *sql.Tx, change *activestorage.Change) error {
			return errors.Join(replace(tx, change), refused)
		})
		if !errors.Is(err, refused) || !maps.Equal(a.readAll(t), before) {
			t.Errorf("refused: %v", err)
		}
		clean("a refused update")

		ctx, cancel := context.WithCancel(t.Context())
		err = a.files.Update(ctx, a.db, func(tx *sql.Tx, change *activestorage.Change) error {
			defer cancel()
			return errors.Join(replace(tx, change), refused)
		})
		if !errors.Is(err, refused) || !maps.Equal(a.readAll(t), before) {
			t.Errorf("refused and cancelled: %v", err)
		}
		clean("a cancelled update")

		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			a.files.Update(t.Context(), a.db, func(tx *sql.Tx, change *activestorage.Change) error {
				must(t, replace(tx, change))
				panic("oops")
			})
		}()
		if !maps.Equal(a.readAll(t), before) {
			t.Error("a panic was committed")
		}
		for _, stray := range a.strays(t) {
			must(t, a.store.Delete(t.Context(), stray))
		}

		err = a.files.Update(t.Context(), a.db, func(tx *sql.Tx, change *activestorage.Change) error {
			return errors.Join(replace(tx, change), tx.Rollback()) // which is Update's
		})
		left, isLeft := errors.AsType[*activestorage.LeftoverError](err)
		if !errors.Is(err, sql.ErrTxDone) || !isLeft || left.Committed || !maps.Equal(a.readAll(t), before) {
			t.Errorf("a commit that fails: %v", err)
		}
		for _, stray := range a.strays(t) {
			must(t, a.store.Delete(t.Context(), stray))
		}

		must(t, a.files.Update(t.Context(), a.db, replace))
		if got := a.readAll(t)["1/license/l.txt"]; got != "new" {
			t.Errorf("updated to %q", got)
		}
		clean("an update")

		away := func() error { return errors.New("the store is away") }
		a.store = steppedStore{a.store, &steps{at: 2, do: away}} // after the put
		must(t, a.use(activestorage.Options{}))
		err = a.files.Update(t.Context(), a.db, replace)
		left, isLeft = errors.AsType[*activestorage.LeftoverError](err)
		if !isLeft || !left.Committed || !slices.Equal(left.Keys, a.strays(t)) {
			t.Errorf("the old object could not be deleted: %v", err)
		}
	})
}

// A key that is taken belongs to someone else, whose object must survive.
func TestAnObjectOfSomeoneElsesIsNotDeleted(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		box := a.rowBox(t, 1)
		a.store = squatted{a.store}
		must(t, a.use(activestorage.Options{}))
		err := a.files.Update(t.Context(), a.db, func(_ *sql.Tx, change *activestorage.Change) error {
			_, err := change.Attach(t.Context(), user(1), "documents", textFile("f", "x"), box)
			return err
		})
		if !errors.Is(err, store.ErrExists) || len(a.strays(t)) != 1 {
			t.Errorf("%v, and there is %v", err, a.strays(t))
		}
	})
}

// squatted is a store where someone takes each key a moment before.
type squatted struct{ store.Store }

func (s squatted) Put(ctx context.Context, key string, data []byte) error {
	if err := s.Store.Put(ctx, key, []byte("someone else's")); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, data)
}
