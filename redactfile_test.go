package rowseal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// What redact_test.go holds of DataKey and Sealed, of all other types: files, indexes, IVs, master keys, boxes, records, tables
// and the options that they are made of.

const (
	secretFile  = "what the scanned letter says"
	secretTitle = "diagnosis-of-ada.pdf"
	secretType  = "application/x-secret"
)

// dossier has a column of each kind.
type dossier struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=license"`
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	City            rowseal.Sealed[string] `rowseal:"key=app"`
	Notes           rowseal.Sealed[string] `rowseal:"previous=app"`
	Scan            rowseal.File
}

func newDossier(id int64) *dossier {
	d := &dossier{ID: id}
	d.Email.Set(secretEmail)
	d.SSN.Set(secretNotes)
	d.City.Set(secretEmail)
	d.Notes.Set(secretNotes)
	d.Scan.Set(strings.NewReader(secretFile), rowseal.FileInfo{Name: secretTitle, ContentType: secretType})
	return d
}

// archive is all that a program holds around its dossiers.
type archive struct {
	Options rowseal.Options
	Keys    map[string]*rowseal.MasterKey
	Key     rowseal.MasterKey
	Model   *rowseal.Model[dossier]
	Sealer  *rowseal.Sealer[dossier]
	Table   *rowseal.Table
	Schema  rowseal.Schema
	Row     *dossier
	Copy    dossier
	Record  *rowseal.Record
	Box     *rowseal.FileBox
	File    rowseal.File
	IV      rowseal.IV
	Index   blindindex.Index
	hidden  *archive
}

// inEveryArchive calls test with dossiers whose values are set, sealed, opened, read, rekeyed, cleared and committed.
func inEveryArchive(t *testing.T, test func(t *testing.T, a *archive, s secrets)) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	w := watch(fake)
	ring := ringOf(t, fake)
	keys := masterKeys(t, "app", rowseal.DefaultIndexKey)
	opts := rowseal.Options{Binding: rowseal.BindNone, MasterKeys: keys, Store: files}
	model := newModel[dossier](t, "dossiers", ring, &opts)
	table, err := rowseal.NewTable(model.Schema(), ring, &rowseal.Options{MasterKeys: keys, Store: files})
	must(t, err)
	row := sealed(t, model, newDossier(1))
	read := func(t *testing.T, d *dossier) {
		for _, err := range []error{
			second(d.Email.Get()), second(d.SSN.Get()), second(d.City.Get()), second(d.Notes.Get()), second(d.Scan.Info()), second(content(t, d.Scan)),
		} {
			must(t, err)
		}
	}
	loaded := func(t *testing.T) *dossier { return load[dossier](t, 1, row) }
	opened := func(t *testing.T) *dossier {
		d := loaded(t)
		must(t, model.Open(t.Context(), d))
		return d
	}
	for state, make := range map[string]func(*testing.T) *dossier{
		"zero": func(*testing.T) *dossier { return &dossier{} },
		"set":  func(*testing.T) *dossier { return newDossier(2) },
		"not sealed": func(t *testing.T) *dossier { // read from its reader, and kept for a second attempt
			d := newDossier(2)
			fake.Deny(kms.OpEncrypt)
			defer fake.Allow(kms.OpEncrypt)
			wantErr(t, "Seal", model.Seal(t.Context(), d), kms.ErrAccessDenied)
			return d
		},
		"sealed":  func(t *testing.T) *dossier { d := newDossier(2); must(t, model.Seal(t.Context(), d)); return d },
		"loaded":  loaded,
		"opened":  opened,
		"read":    func(t *testing.T) *dossier { d := opened(t); read(t, d); return d },
		"changed": func(t *testing.T) *dossier { d := opened(t); read(t, d); *d = *newDossier(1); return d },
		"rekeyed": func(t *testing.T) *dossier {
			d := opened(t)
			must(t, model.RekeyWith(t.Context(), d, noMove))
			read(t, d)
			return d
		},
		"committed": func(t *testing.T) *dossier {
			d := opened(t)
			read(t, d)
			must(t, model.Committed(t.Context(), d))
			return d
		},
		"wiped": func(t *testing.T) *dossier { d := opened(t); read(t, d); model.Wipe(d); return d },
		"cleared": func(t *testing.T) *dossier {
			d := opened(t)
			read(t, d)
			model.Clear(d)
			d.Email.Set(secretEmail)
			return d
		},
	} {
		t.Run(state, func(t *testing.T) {
			d := make(t)
			other := load[dossier](t, 1, row)
			must(t, model.Open(t.Context(), other))
			box, err := model.Box(t.Context(), other, "license")
			must(t, err)
			a := &archive{
				Options: opts, Keys: keys, Key: *keys["app"], Model: model, Sealer: model.Sealer(), Table: table, Schema: model.Schema(),
				Row: d, Copy: *d, Record: recordOf(t, table), Box: box, File: d.Scan, IV: d.SSNIV, Index: d.EmailIndex,
			}
			a.hidden = &archive{Key: a.Key, Keys: a.Keys, Row: d, Copy: *d, File: a.File, Record: a.Record, Options: opts, Box: box}
			s := append(newSecrets(w), []byte(secretFile), []byte(secretTitle), []byte(secretType), masterSecret("app"), masterSecret(rowseal.DefaultIndexKey))
			test(t, a, s)
		})
	}
}

func noMove(string, *rowseal.FileBox, *rowseal.FileBox) error { return nil }

// recordOf is a Record with a value of each kind set, one of them sealed and read.
func recordOf(t *testing.T, table *rowseal.Table) *rowseal.Record {
	t.Helper()
	r, err := table.Record(map[string]any{"id": int64(9)})
	must(t, err)
	for _, column := range []string{"email_ciphertext", "encrypted_ssn", "notes_ciphertext"} {
		must(t, r.Set(column, secretEmail))
	}
	must(t, table.Seal(t.Context(), r))
	must(t, second(r.Get("email_ciphertext")))
	must(t, r.Set("city_ciphertext", secretNotes))
	f, err := r.File("scan_file")
	must(t, err)
	f.Set(strings.NewReader(secretFile), rowseal.FileInfo{Name: secretTitle, ContentType: secretType})
	return r
}

func TestNothingAroundARowPrintsASecret(t *testing.T) {
	inEveryArchive(t, func(t *testing.T, a *archive, s secrets) {
		for _, v := range []any{
			*a, a, a.Options, &a.Options, a.Keys, a.Key, &a.Key, *a.Model, a.Model, *a.Sealer, *a.Table, a.Table, a.Schema, a.Copy, a.Row,
			*a.Record, a.Record, *a.Box, a.Box, a.File, &a.File, a.IV, &a.IV, a.Index, []any{a.File, a.Key, a.Record}, map[string]any{"a": a},
			struct{ k rowseal.MasterKey }{a.Key}, struct{ f rowseal.File }{a.File}, struct{ b rowseal.FileBox }{*a.Box},
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%p", "%b", "%c", "%z", "%10v"} {
				s.mustNotShow(t, fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v))
			}
			s.mustNotShow(t, "Errorf", fmt.Errorf("failed with %v", v).Error())
			s.mustNotShow(t, "a panic", panicOf(v))
			for how, text := range logs(v) {
				s.mustNotShow(t, how, text)
			}
			if _, ok := v.(map[string]any); !ok {
				for how, text := range encodings(v) {
					s.mustNotShow(t, how, text)
				}
			}
		}
	})
}

func TestNothingThatFollowsTheFieldsAroundARowFindsASecret(t *testing.T) {
	inEveryArchive(t, func(t *testing.T, a *archive, s secrets) {
		if path := (&walker{secrets: s, seen: map[any]bool{}}).walk(reflect.ValueOf(a), "archive"); path != "" {
			t.Errorf("a secret shows at %s", path)
		}
	})
}

func TestWhatIsPrintedOfAFileAndAMasterKeyIsTheStateAndTheName(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
	l := newLetter(1, "ada")
	states := []string{fmt.Sprint(l.Scan, rowseal.File{})}
	row := sealed(t, letters, l)
	states = append(states, fmt.Sprintf("%#v", &l.Scan))
	l = load[letter](t, 1, row)
	states = append(states, fmt.Sprintf("%s", l.Scan))
	must(t, letters.Open(t.Context(), l))
	b, err := json.Marshal(l.Scan)
	must(t, err)
	states = append(states, string(b))
	want := []string{"[unsealed] [null]", "[file: opened]", "[file: sealed]", `"[file: opened]"`}
	if !reflect.DeepEqual(states, want) {
		t.Errorf("got  %q\nwant %q", states, want)
	}
	key := masterKeys(t, "app")["app"]
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%#v", *key), fmt.Sprintf("%x", key), fmt.Sprintf("%d", *key)} {
		if text != "rowseal.MasterKey" {
			t.Errorf("a master key is printed as %q", text)
		}
	}
}

func TestNoErrorAboutFilesIndexesAndAttachmentsHoldsASecret(t *testing.T) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	w := watch(fake)
	ring := ringOf(t, fake)
	keys := masterKeys(t, "app", rowseal.DefaultIndexKey)
	model := func(o rowseal.Options) *rowseal.Model[dossier] {
		o.Binding, o.MasterKeys, o.Store = rowseal.BindNone, keys, files
		return newModel[dossier](t, "dossiers", ring, &o)
	}
	dossiers := model(rowseal.Options{})
	row := sealed(t, dossiers, newDossier(1))
	s := append(newSecrets(w), []byte(secretFile), []byte(secretTitle), []byte(secretType), masterSecret("app"), masterSecret(rowseal.DefaultIndexKey))
	check := func(what string, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err == nil {
				t.Errorf("%s: no error", what)
				continue
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				s.mustNotShow(t, what, fmt.Sprintf(verb, err))
			}
			if path := (&walker{secrets: s, seen: map[any]bool{}}).walk(reflect.ValueOf(err), "err"); path != "" {
				t.Errorf("%s: a secret shows at %s", what, path)
			}
		}
	}
	set := newDossier(2)
	check("not sealed", second(set.Scan.Value()), second(content(t, set.Scan)))
	check("too large", model(rowseal.Options{FileLimit: 3}).Seal(t.Context(), newDossier(2)))
	check("cancelled", dossiers.Seal(cancelled(t), newDossier(2)))
	files.put = func(string) error { return errors.New("full") }
	check("a failing Put", dossiers.Seal(t.Context(), newDossier(2)))
	files.put = nil

	d := load[dossier](t, 1, row.with("Scan", secretFile))
	must(t, dossiers.Open(t.Context(), d))
	check("no reference", second(d.Scan.Info()), second(content(t, d.Scan)))
	d = load[dossier](t, 1, row.with("SSNIV", nil).with("Notes", secretEmail))
	must(t, dossiers.Open(t.Context(), d))
	check("what does not open", second(d.SSN.Get()), second(d.Notes.Get()), dossiers.RekeyWith(t.Context(), d, noMove), dossiers.Rekey(t.Context(), d))
	check("a wrong type", second(dossiers.Lookup(t.Context(), "email_bidx", secretPin)), second(dossiers.Lookup(t.Context(), "email_bidx", secretEmail, secretPin)))
	box, err := dossiers.Box(t.Context(), load[dossier](t, 1, row), "license")
	must(t, err)
	check("an attachment", second(box.Open([]byte(secretFile))), second(box.Seal(&failing{strings.NewReader(secretFile), errors.New("reset")})))
	check("master keys", second(rowseal.NewMasterKey([]byte(secretFile))), second(rowseal.ParseMasterKey(secretFile)), second(rowseal.NewFixedKey([]byte(secretFile))))
	var f rowseal.File
	var iv rowseal.IV
	var salt rowseal.Salt
	check("Scan", f.Scan(secretPin), iv.Scan(secretPin), salt.Scan(secretBorn), f.UnmarshalText([]byte(secretFile)))
}
