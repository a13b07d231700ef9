package rowseal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// secrets are byte strings that must not show, as they are, in base64 or in hex, upper and lower.
type secrets [][]byte

func newSecrets(w *witness) secrets {
	all := secrets{[]byte(secretEmail), []byte(secretNotes), []byte(fmt.Sprint(secretPin))}
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(all, w.seen...)
}

const (
	secretEmail = "ada.lovelace@secret.example"
	secretNotes = "notes that nobody may read"
	secretPin   = 918273645
)

var secretBorn = time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)

// found tells which secret a text shows, in whichever form.
func (s secrets) found(text string) string {
	for _, secret := range s {
		forms := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), fmt.Sprint(secret),
			base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), fmt.Sprintf("%#v", secret)}
		for _, form := range append(forms, strings.Trim(forms[3], "[]")) {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	if strings.Contains(text, "1815-12") { // however a time is printed
		return "1815-12"
	}
	return ""
}

// person has a field of each kind of value, and is embedded, hidden, pointed to and collected by others.
type person struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Notes           rowseal.Sealed[[]byte]
	Pin             rowseal.Sealed[int]
	Born            rowseal.Sealed[time.Time] `rowseal:"type=date"`
}

type house struct {
	Owner   person
	Tenant  *person
	hidden  person
	key     rowseal.DataKey
	email   rowseal.Sealed[string]
	Others  []person
	ByName  map[string]person
	Anyone  any
	Array   [1]*person
	ByEmail map[string]*rowseal.Sealed[string] `xml:"-"`
}

func newPerson(id int64) *person {
	p := &person{ID: id}
	p.Email.Set(secretEmail)
	p.Notes.Set([]byte(secretNotes))
	p.Pin.Set(secretPin)
	p.Born.Set(secretBorn)
	return p
}

func houseOf(p *person) *house {
	return &house{Owner: *p, Tenant: p, hidden: *p, key: p.EncryptedKMSKey, email: p.Email, Others: []person{*p},
		ByName: map[string]person{"p": *p}, Anyone: p, Array: [1]*person{p}, ByEmail: map[string]*rowseal.Sealed[string]{"e": &p.Email}}
}

// inEveryState calls test with persons whose values are set, sealed, opened, read, rewrapped, changed and wiped.
func inEveryState(t *testing.T, test func(t *testing.T, p *person, s secrets)) {
	fake := &kmstest.Fake{}
	w := watch(fake)
	people := newModel[person](t, "people", ringOf(t, fake), nil)
	row := sealed(t, people, newPerson(1))
	load := func(t *testing.T) *person { return load[person](t, 1, row) }
	open := func(t *testing.T) *person {
		p := load(t)
		must(t, people.Open(t.Context(), p))
		return p
	}
	read := func(t *testing.T) *person {
		p := open(t)
		for _, err := range []error{second(p.Email.Get()), second(p.Notes.Get()), second(p.Pin.Get()), second(p.Born.Get())} {
			must(t, err)
		}
		return p
	}
	for state, make := range map[string]func(*testing.T) *person{
		"zero":   func(*testing.T) *person { return &person{} },
		"set":    func(*testing.T) *person { return newPerson(2) },
		"sealed": func(t *testing.T) *person { p := newPerson(2); must(t, people.Seal(t.Context(), p)); return p },
		"loaded": load, "opened": open, "read": read,
		"changed":   func(t *testing.T) *person { p := read(t); p.Email.Set(secretEmail); return p },
		"rewrapped": func(t *testing.T) *person { p := read(t); must(t, people.Rewrap(t.Context(), p)); return p },
		"wiped":     func(t *testing.T) *person { p := read(t); people.Wipe(p); return p },
		"cleared":   func(t *testing.T) *person { p := read(t); people.Clear(p); p.Email.Set(secretEmail); return p },
	} {
		t.Run(state, func(t *testing.T) {
			p := make(t)
			test(t, p, newSecrets(w))
		})
	}
}

func second[T any](_ T, err error) error { return err }

func (s secrets) mustNotShow(t *testing.T, how, text string) {
	t.Helper()
	if form := s.found(text); form != "" {
		t.Errorf("%s shows %q: %s", how, form, text)
	}
}

// The secrets are really looked for: what does show them is found.
func TestTheSearchForSecretsFindsThem(t *testing.T) {
	w := &witness{seen: [][]byte{bytes.Repeat([]byte{200}, 32)}}
	s := newSecrets(w)
	for _, text := range []string{
		"x" + secretEmail, fmt.Sprintf("%x", w.seen[0]), fmt.Sprintf("%X", w.seen[0]), fmt.Sprint(w.seen[0]), fmt.Sprintf("%#v", w.seen[0]),
		base64.StdEncoding.EncodeToString(w.seen[0]), fmt.Sprint(secretPin), secretBorn.String(), string(w.seen[0]),
		fmt.Sprintf("%+v", struct{ k []byte }{w.seen[0]}),
	} {
		if s.found(text) == "" {
			t.Errorf("not found in %q", text)
		}
	}
	if path := (&walker{secrets: s, seen: map[any]bool{}}).walk(reflect.ValueOf(struct{ p *struct{ b []byte } }{&struct{ b []byte }{w.seen[0]}}), "x"); path != "x.p*.b" {
		t.Errorf("the walker found the secret at %q", path)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	inEveryState(t, func(t *testing.T, p *person, s secrets) {
		h := houseOf(p)
		for _, v := range []any{
			*p, p, p.Email, &p.Email, p.Notes, p.Pin, p.Born, p.EncryptedKMSKey, &p.EncryptedKMSKey,
			*h, h, []any{*p, p}, map[string]any{"p": *p}, &h.Others, struct{ p person }{*p}, [1]rowseal.Sealed[int]{p.Pin},
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%f", "%p", "%b", "%c", "%U", "%z", "%T", "%10v"} {
				s.mustNotShow(t, verb, fmt.Sprintf(verb, v))
			}
			s.mustNotShow(t, "Print", fmt.Sprint(v)+fmt.Sprintln(v)+string(fmt.Append(nil, v)))
			s.mustNotShow(t, "Errorf", fmt.Errorf("failed with %v", v).Error())
			s.mustNotShow(t, "a panic", panicOf(v))
			for how, text := range encodings(v) {
				s.mustNotShow(t, how, text)
			}
			for how, text := range logs(v) {
				s.mustNotShow(t, how, text)
			}
		}
	})
}

func panicOf(v any) (text string) {
	defer func() { text = fmt.Sprintf("%v %+v", recover(), v) }()
	panic(v)
}

func encodings(v any) map[string]string {
	j, jsonErr := json.Marshal(v)
	x, xmlErr := xml.Marshal(v)
	var g, tmpl bytes.Buffer
	gobErr := gob.NewEncoder(&g).Encode(v)
	tmplErr := template.Must(template.New("").Parse("{{.}} {{printf `%#v` .}} {{println .}}")).Execute(&tmpl, v)
	return map[string]string{
		"json": fmt.Sprint(string(j), jsonErr), "xml": fmt.Sprint(string(x), xmlErr),
		"gob": fmt.Sprint(g.String(), gobErr), "template": fmt.Sprint(tmpl.String(), tmplErr),
	}
}

func logs(v any) map[string]string {
	all := map[string]string{}
	for how, handler := range map[string]func(io.Writer) slog.Handler{
		"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"slog JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(handler(&b))
		log.Info("row", "v", v, slog.Group("group", "v", v, slog.Group("inner", slog.Any("v", v))))
		log.With("v", v).WithGroup("g").Error("row", slog.Any("v", []any{v}))
		all[how] = b.String()
	}
	return all
}

func TestWhatIsPrintedIsTheState(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := newUser(1, "ada")
	states := []string{fmt.Sprint(u.EncryptedKMSKey, u.Email, rowseal.Sealed[int]{})}
	must(t, users.Seal(t.Context(), u))
	row := save(t, u)
	u = load[user](t, 1, row)
	states = append(states, fmt.Sprint(u.EncryptedKMSKey, u.Email))
	must(t, users.Open(t.Context(), u))
	states = append(states, fmt.Sprintf("%#v %d", u.EncryptedKMSKey, u.Email))
	users.Clear(u)
	states = append(states, fmt.Sprintf("%s %x", &u.EncryptedKMSKey, &u.Email))
	want := []string{
		"[data key: not loaded] [unsealed] [null]", "[data key: wrapped] [sealed]", "[data key: opened] [opened]", "[data key: null] [null]",
	}
	if !reflect.DeepEqual(states, want) {
		t.Errorf("got  %q\nwant %q", states, want)
	}
}

// Reading a redacted form back would put "[sealed]" into the database.
func TestRowsAreNotReadFromJSON(t *testing.T) {
	p := newPerson(1)
	b, err := json.Marshal(p)
	must(t, err)
	want := `{"ID":1,"EncryptedKMSKey":"[data key: not loaded]","Email":"[unsealed]","Notes":"[unsealed]","Pin":"[unsealed]","Born":"[unsealed]"}`
	if string(b) != want {
		t.Errorf("got %s", b)
	}
	for _, text := range []string{string(b), `{"Email":"x"}`, `{"EncryptedKMSKey":"v1:aaaa"}`} {
		wantErr(t, text, json.Unmarshal([]byte(text), &person{}), kms.ErrInvalidRequest)
	}
}

// walker looks for secrets as spew, testify's diffs and debuggers' dumps do: through unexported fields, pointers, interfaces,
// slices and maps. Functions are opaque to them and to it.
type walker struct {
	secrets
	seen map[any]bool
}

// walk returns the path at which a secret shows, "" if none.
func (w *walker) walk(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer:
		visit := [2]any{v.Type(), v.Pointer()}
		if v.IsNil() || w.seen[visit] {
			return ""
		}
		w.seen[visit] = true
		return w.walk(v.Elem(), path+"*")
	case reflect.Interface:
		return w.walk(v.Elem(), path)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() { // rows have times only as plaintext
			return path
		}
		for i := range v.NumField() {
			if found := w.walk(v.Field(i), path+"."+v.Type().Field(i).Name); found != "" {
				return found
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if found := w.walk(key, path+"[key]") + w.walk(v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key)); found != "" {
				return found
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return w.look(string(bytesIn(v)), path)
		}
		for i := range v.Len() {
			if found := w.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
	case reflect.String:
		return w.look(v.String(), path)
	case reflect.Int, reflect.Int64, reflect.Int32:
		return w.look(fmt.Sprint(v.Int()), path)
	case reflect.Uint64, reflect.Uint32, reflect.Uint:
		return w.look(fmt.Sprint(v.Uint()), path)
	}
	return ""
}

func (w *walker) look(text, path string) string {
	if w.found(text) != "" {
		return path
	}
	return ""
}

func bytesIn(v reflect.Value) []byte {
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
	}
	return b
}

func TestNothingThatFollowsFieldsFindsASecret(t *testing.T) {
	inEveryState(t, func(t *testing.T, p *person, s secrets) {
		for _, v := range []any{*p, p, houseOf(p)} {
			if path := (&walker{secrets: s, seen: map[any]bool{}}).walk(reflect.ValueOf(v), "row"); path != "" {
				t.Errorf("a secret shows at %s", path)
			}
		}
	})
}

// DeepEqual compares pointers, and a diff that it leads to has nothing to show.
func TestDeepEqualKnowsARowFromItsCopyOnlyByIdentity(t *testing.T) {
	p := newPerson(1)
	copied := *p
	if !reflect.DeepEqual(*p, copied) {
		t.Error("a copy is not equal")
	}
	if reflect.DeepEqual(p, newPerson(1)) {
		t.Error("two rows with the same plaintext are equal: their plaintext can be compared")
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	fake := &kmstest.Fake{}
	w := watch(fake)
	ring := ringOf(t, fake)
	people := newModel[person](t, "people", ring, nil)
	row := sealed(t, people, newPerson(1))
	s := newSecrets(w)
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
	opened := func() *person {
		p := load[person](t, 1, row)
		must(t, people.Open(t.Context(), p))
		return p
	}

	set := newPerson(1)
	check("Value", second(set.Email.Value()), second(set.Notes.Value()), second(set.EncryptedKMSKey.Value()))
	check("no id", people.Seal(t.Context(), newPerson(0)))
	moved := opened()
	moved.ID = 2
	check("context changed", people.Seal(t.Context(), moved))
	check("another row", people.Open(t.Context(), load[person](t, 2, row)))
	orphan := load[person](t, 1, row.with("EncryptedKMSKey", nil))
	orphan.Notes.Set([]byte(secretNotes))
	orphan.Email.Set(secretEmail)
	check("no key", people.Open(t.Context(), orphan), people.Seal(t.Context(), orphan))
	check("Sealer", people.Sealer().Seal(t.Context(), func() *person { p := load[person](t, 1, row); p.Email.Set(secretEmail); return p }()))
	check("cancelled", people.Seal(cancelled(t), newPerson(3)))
	for _, fault := range faults {
		if fault.ctx == nil && !errors.Is(fault.want, kms.ErrThrottled) {
			broken := &kmstest.Fake{BatchSize: 10}
			fault.set(broken)
			check("fault", newModel[person](t, "people", ringOf(t, broken), nil).Seal(t.Context(), newPerson(4), newPerson(5)))
		}
	}
	big := &struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Big             rowseal.Sealed[uint64]
	}{ID: 1}
	big.Big.Set(1<<63 + secretPin)
	check("a value that cannot be sealed", newModel[struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Big             rowseal.Sealed[uint64]
	}](t, "bigs", ring, &rowseal.Options{Model: "Big"}).Seal(t.Context(), big))

	type asInt struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[int]
	}
	other := load[asInt](t, 1, stored{"EncryptedKMSKey": row["EncryptedKMSKey"], "Email": row["Email"]})
	must(t, newModel[asInt](t, "people", ring, &rowseal.Options{Model: "person"}).Open(t.Context(), other))
	check("a value of another type", second(other.Email.Get()))

	_, err := ring.Decrypt(t.Context(), secretEmail, nil)
	check("Keyring.Decrypt", err)
	var e rowseal.Sealed[string]
	var k rowseal.DataKey
	check("Scan", e.Scan(secretPin), k.Scan(secretBorn), e.UnmarshalText([]byte(secretEmail)), k.UnmarshalText([]byte(secretEmail)))
}
