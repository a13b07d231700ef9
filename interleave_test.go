package rowseal_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// shared is a row that many write at once: two keys, indexes over one field and over two, and a context with a column that
// is no id.
type shared struct {
	ID              int64
	Tenant          string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Phone           rowseal.Sealed[string]
	EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
	BothIndex       blindindex.Index       `rowseal:"of=Email+Phone,algorithm=hmac_sha256"`
	KMSKeyB         rowseal.DataKey        `rowseal:"name=b"`
	Secret          rowseal.Sealed[string] `rowseal:"key=b"`
}

func (s *shared) field(name string) *rowseal.Sealed[string] {
	return map[string]*rowseal.Sealed[string]{"email_ciphertext": &s.Email, "phone_ciphertext": &s.Phone, "secret_ciphertext": &s.Secret}[name]
}

var sharedFields = []string{"email_ciphertext", "phone_ciphertext", "secret_ciphertext"}

func newShared(tb testing.TB, fake *kmstest.Fake) *rowseal.Model[shared] {
	index := masterKeys(tb, "index")["index"]
	rule := rowseal.ContextRule{Names: map[string]string{"id": "{id}", "tenant": "{tenant}"}}
	ruleB := rowseal.ContextRule{Names: map[string]string{"id": "{id}", "b": "yes"}}
	return newModel[shared](tb, "shared", ringOf(tb, fake), &rowseal.Options{
		Keys:       map[string]rowseal.KeyOptions{"": {Context: rule}, "b": {Context: ruleB}},
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index},
	})
}

// table is a database with one row, and what its writers were told.
type table struct {
	tb     testing.TB
	model  *rowseal.Model[shared]
	cells  map[string]any    // what the row holds
	want   map[string]string // the last value of each field whose writer was told that it is saved; none: NULL
	denied int               // updates that found the row changed
}

func (d *table) load() *shared {
	s := &shared{ID: 1, Tenant: d.cells["tenant"].(string)}
	must(d.tb, s.EncryptedKMSKey.Scan(d.cells["encrypted_kms_key"]))
	must(d.tb, s.KMSKeyB.Scan(d.cells["encrypted_kms_key_b"]))
	for _, f := range sharedFields {
		must(d.tb, s.field(f).Scan(d.cells[f]))
	}
	must(d.tb, s.EmailIndex.Scan(d.cells["email_bidx"]))
	must(d.tb, s.BothIndex.Scan(d.cells["both_bidx"]))
	return s
}

// exec is the UPDATE.
func (d *table) exec(c rowseal.Change) bool {
	for _, m := range c.Match {
		if d.cells[m.Column] != m.Value {
			d.denied++
			return false
		}
	}
	for _, a := range c.Set {
		d.cells[a.Column] = a.Value
	}
	return true
}

// check opens the row as a stranger does.
func (d *table) check(what string) {
	d.tb.Helper()
	s := d.load()
	must(d.tb, d.model.Open(d.tb.Context(), s))
	for _, f := range sharedFields {
		got, err := s.field(f).Get()
		if err != nil || got != d.want[f] || s.field(f).IsNull() != (d.want[f] == "") {
			d.tb.Fatalf("after %s: %s is %q, %v; its writer was told that it is %q", what, f, got, err, d.want[f])
		}
	}
	d.checkIndex(what, "email_bidx", s.EmailIndex, "email_ciphertext")
	d.checkIndex(what, "both_bidx", s.BothIndex, "email_ciphertext", "phone_ciphertext")
}

func (d *table) checkIndex(what, column string, got blindindex.Index, of ...string) {
	d.tb.Helper()
	var values []any
	for _, f := range of {
		if d.want[f] == "" {
			if !got.IsNull() {
				d.tb.Fatalf("after %s: %s is there, and %s is NULL", what, column, f)
			}
			return
		}
		values = append(values, d.want[f])
	}
	want, err := d.model.Lookup(d.tb.Context(), column, values...)
	must(d.tb, err)
	if want[0] != got.Text() {
		d.tb.Fatalf("after %s: %s is not that of the values", what, column)
	}
}

// writer is a program with a struct of its own.
type writer struct {
	*table
	name    string
	row     *shared
	pending map[string]string // what it is writing; "": NULL
	sent    map[string]bool   // what of it was written in a transaction whose end nobody has told
	now     map[string]any
}

// reload forgets what the writer knows and was about to write.
func (w *writer) reload() {
	w.row, w.pending, w.sent, w.now = w.load(), map[string]string{}, map[string]bool{}, nil
}

// step does one thing that a program does without the database in between.
func (w *writer) step(r *rand.Rand, n int) string {
	ctx := w.tb.Context()
	switch r.IntN(12) {
	case 0:
		w.reload()
		return "load"
	case 1:
		if errors.Is(w.model.Open(ctx, w.row), rowseal.ErrNoKey) {
			w.reload()
		}
		return "open"
	case 2:
		f := sharedFields[r.IntN(3)]
		w.row.field(f).SetNull()
		w.pending[f], w.sent[f] = "", false
		return "null " + f
	case 3:
		w.model.Clear(w.row)
		for _, f := range sharedFields {
			w.pending[f], w.sent[f] = "", false
		}
		return "clear"
	case 4:
		if len(w.pending) == 0 {
			if err := w.model.Rekey(ctx, w.row); err != nil {
				w.reload()
			}
		}
		return "rekey"
	case 5:
		if len(w.pending) == 0 {
			if err := w.model.Rewrap(ctx, w.row); err != nil {
				w.reload()
			}
		}
		return "rewrap"
	case 6:
		if len(w.pending) == 0 && w.model.Open(ctx, w.row) == nil {
			must(w.tb, w.model.Reindex(ctx, w.row))
		}
		return "reindex"
	case 7, 8:
		f := sharedFields[r.IntN(3)]
		w.pending[f], w.sent[f] = fmt.Sprintf("%s %d", w.name, n), false
		w.row.field(f).Set(w.pending[f])
		return "set " + f
	default:
		return w.save()
	}
}

// save tries the UPDATE once; where somebody was faster, it merges, and the next step may be anybody's.
func (w *writer) save() string {
	done, what := w.update()
	if done {
		must(w.tb, w.model.Committed(w.tb.Context(), w.row))
		w.pending, w.sent, w.now = map[string]string{}, map[string]bool{}, nil
	}
	return what
}

// update is one turn of sqlseal's loop.
func (w *writer) update() (done bool, what string) {
	ctx, rows := w.tb.Context(), w.model.Rows()
	if err := rows.Seal(ctx, w.row); err != nil {
		return w.giveUp(err)
	}
	change, err := rows.Change(w.row, nil, w.now)
	if err != nil {
		return w.giveUp(err)
	}
	if !change.Unsure && w.exec(change) {
		w.told(change)
		return true, "save"
	}
	w.now = maps.Clone(w.cells)
	if err := rows.Merge(ctx, w.row, w.now); err != nil {
		return w.giveUp(err)
	}
	return false, "merge"
}

// told notes what the writer now believes. What it has sent before may be there already.
func (w *writer) told(c rowseal.Change) {
	for f, value := range w.pending {
		if slices.ContainsFunc(c.Set, func(a rowseal.Assignment) bool { return a.Column == f }) {
			w.want[f] = value
		} else if !w.sent[f] {
			w.tb.Fatalf("%s has set %s, and it was not written", w.name, f)
		}
	}
}

func (w *writer) giveUp(err error) (bool, string) {
	allowed := []error{rowseal.ErrConflict, rowseal.ErrContextChanged, rowseal.ErrNotOpened, rowseal.ErrDecryptionFailed}
	if !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
		w.tb.Fatalf("%s: %v", w.name, err)
	}
	w.reload()
	return false, "conflict"
}

// transact writes twice in a transaction, and forgets to say how it ended.
func (w *writer) transact(r *rand.Rand, n int) string {
	cells, want := maps.Clone(w.cells), maps.Clone(w.want)
	for i := range 2 {
		f := sharedFields[r.IntN(3)]
		w.pending[f], w.sent[f] = fmt.Sprintf("%s %d in a transaction, %d", w.name, n, i), false
		w.row.field(f).Set(w.pending[f])
		row := w.row
		for turn := 0; ; turn++ {
			if turn > 20 {
				change, err := w.model.Rows().Change(w.row, nil, w.now)
				w.tb.Fatalf("%s makes no progress: %+v, %v; the row holds %v", w.name, change, err, w.cells)
			}
			done, _ := w.update()
			if w.row != row { // given up
				w.rollback(cells, want)
				return "conflict in a transaction"
			}
			if done {
				break
			}
		}
		w.now = nil
		for f := range w.pending {
			w.sent[f] = true
		}
		w.model.Rows().Written(w.row)
	}
	if r.IntN(2) == 0 {
		w.rollback(cells, want)
		return "rollback"
	}
	return "commit"
}

func (w *writer) rollback(cells map[string]any, want map[string]string) {
	clear(w.cells)
	maps.Copy(w.cells, cells)
	clear(w.want)
	maps.Copy(w.want, want)
}

// Whatever the order in which writers, rekeys and rewraps come, the row opens to what its writers were told.
func TestNoInterleavingLosesAValue(t *testing.T) {
	runs, steps := 60, 400
	if os.Getenv("ROWSEAL_SOAK") != "" { // make soak
		runs = 10_000
	}
	denied := 0
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		d := &table{tb: t, model: newShared(t, &kmstest.Fake{BatchSize: 10}), want: map[string]string{}, cells: map[string]any{"id": "1", "tenant": "t"}}
		for _, column := range d.model.Rows().SealedColumns() {
			d.cells[column] = nil
		}
		writers := make([]*writer, 3)
		for i := range writers {
			writers[i] = &writer{table: d, name: string(rune('a' + i))}
			writers[i].reload()
		}
		var past []string
		for n := range steps {
			w := writers[r.IntN(len(writers))]
			what := ""
			if r.IntN(8) == 0 {
				what = w.transact(r, n)
			} else {
				what = w.step(r, n)
			}
			past = append(past, w.name+" "+what)
			d.check(fmt.Sprintf("seed %d, step %d: %s", seed, n, strings.Join(past[max(0, len(past)-25):], ", ")))
		}
		denied += d.denied
	}
	if denied < runs {
		t.Errorf("only %d updates found the row changed: the writers do not meet", denied)
	}
}
