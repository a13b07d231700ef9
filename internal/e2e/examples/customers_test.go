// Package examples runs the programs in the folder examples, as processes, against real servers.
package examples

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms/localkms"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestTheCustomerServices(t *testing.T) {
	for _, program := range []string{"gorm", "pgx"} {
		t.Run(program, func(t *testing.T) {
			c := newCustomers(t, program)
			t.Run("a customer is created, found, changed and deleted", c.lifeOfACustomer)
			t.Run("an e-mail address is one customer's", c.conflict)
			t.Run("what is no customer is refused", c.badRequests)
			t.Run("of several at once nobody's value is lost", c.atOnce)
			t.Run("a killed service starts again", c.killed)
			t.Run("what happened is noted where it was done", c.events)
			t.Run("a service without its key", c.noKey)
			t.Run("a service without its column", c.noColumn)
			t.Run("a service with a wrong environment says so in one line", c.wrongEnvironment)
			c.stop()
			c.wantNoSecrets(t)
		})
	}
}

func TestTheCustomerServicesDifferInTheirDatabaseOnly(t *testing.T) {
	const dir = "../../../examples"
	own := []string{"doc.go", "customer.go", "store.go", "schema.sql"}
	files := map[string]bool{}
	for _, program := range []string{"gorm", "pgx"} {
		entries, err := fs.ReadDir(os.DirFS(dir), program)
		must(t, err)
		for _, e := range entries {
			files[e.Name()] = true
		}
	}
	for name := range files {
		a, err1 := os.ReadFile(filepath.Join(dir, "gorm", name))
		b, err2 := os.ReadFile(filepath.Join(dir, "pgx", name))
		if same := err1 == nil && err2 == nil && bytes.Equal(a, b); same == slices.Contains(own, name) {
			t.Errorf("%s: the same: %t", name, same)
		}
	}
}

// secrets are in requests and nowhere else. Names are not sealed, and have no place in logs.
var (
	names   = []string{"Lovelace", "Babbage", "Another"}
	secrets = []string{"ada@", "ADA@", "countess@", "charles@", "+44 20", "1815-12-10"}
)

type customer struct {
	ID, Name             string
	Email, Phone, BornOn *string
}

func (c *customer) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &struct {
		ID, Name     *string
		Email, Phone **string
		BornOn       **string `json:"born_on"`
	}{&c.ID, &c.Name, &c.Email, &c.Phone, &c.BornOn})
}

// customers is a service, its database and its local key.
type customers struct {
	*service
	t    *testing.T // which the service lives as long as
	file string
	env  []string
	db   *sql.DB
	keys localkms.Store
	logs []*log
}

func newCustomers(t *testing.T, program string) *customers {
	t.Helper()
	url := dbtest.PostgreSQL.New(t)
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	c := &customers{t: t, file: build(t, program), db: db, keys: localkms.Store{Dir: filepath.Join(t.TempDir(), "keys")}}
	must(t, c.keys.Create(t.Context(), "customers"))
	c.env = []string{"DATABASE_URL=" + url, "KMS_KEY_ID=local/customers", "ROWSEAL_LOCAL_KEYS=" + c.keys.Dir, "INDEX_KEY=" + strings.Repeat("5a", 32)}
	c.start()
	return c
}

func (c *customers) start() {
	c.t.Helper()
	c.service = start(c.t, c.file, c.env)
	c.logs = append(c.logs, c.log)
}

func (c *customers) lifeOfACustomer(t *testing.T) {
	ada := c.ask(t, "POST", "/customers", `{"name": "Ada Lovelace", "email": "ada@example.org", "phone": "+44 20 1", "born_on": "1815-12-10"}`, 201)
	wantCustomer(t, ada, ada.ID, "Ada Lovelace", "ada@example.org", "+44 20 1", "1815-12-10")
	wantCustomer(t, c.ask(t, "GET", "/customers/"+ada.ID, "", 200), ada.ID, "Ada Lovelace", "ada@example.org", "+44 20 1", "1815-12-10")
	wantCustomer(t, c.ask(t, "GET", "/customers?email=ADA@Example.org", "", 200), ada.ID, "Ada Lovelace", "ada@example.org", "+44 20 1", "1815-12-10")

	changed := c.ask(t, "PATCH", "/customers/"+ada.ID, `{"email": "countess@example.org", "phone": null}`, 200)
	wantCustomer(t, changed, ada.ID, "Ada Lovelace", "countess@example.org", "", "1815-12-10")
	wantCustomer(t, c.ask(t, "GET", "/customers?email=countess@example.org", "", 200), ada.ID, "Ada Lovelace", "countess@example.org", "", "1815-12-10")
	c.ask(t, "GET", "/customers?email=ada@example.org", "", 404)

	c.wantSealed(t)
	c.ask(t, "DELETE", "/customers/"+ada.ID, "", 204)
	for _, method := range []string{"GET", "DELETE", "PATCH"} {
		c.ask(t, method, "/customers/"+ada.ID, `{}`, 404)
	}
}

func (c *customers) conflict(t *testing.T) {
	ada := c.ask(t, "POST", "/customers", `{"name": "Ada Lovelace", "email": "ada@example.org"}`, 201)
	charles := c.ask(t, "POST", "/customers", `{"name": "Charles Babbage", "email": "charles@example.org"}`, 201)
	for _, request := range [][3]string{
		{"POST", "/customers", `{"name": "Another", "email": " ADA@example.org"}`},
		{"PATCH", "/customers/" + charles.ID, `{"name": "Another", "email": "Ada@Example.org"}`},
	} {
		status, body := c.send(t, request[0], request[1], request[2])
		if status != http.StatusConflict || !strings.Contains(body, "e-mail") || strings.Contains(strings.ToLower(body), "ada") {
			t.Errorf("%s: %d, %s", request[0], status, body)
		}
	}
	if text := c.log.String(); strings.Contains(text, "ERROR") {
		t.Errorf("what was answered is logged as a failure:\n%s", text)
	}
	wantCustomer(t, c.ask(t, "GET", "/customers/"+charles.ID, "", 200), charles.ID, "Charles Babbage", "charles@example.org", "", "")
	c.ask(t, "PATCH", "/customers/"+ada.ID, `{"email": null}`, 200)
	c.ask(t, "PATCH", "/customers/"+charles.ID, `{"email": "ada@example.org"}`, 200)
	c.ask(t, "PATCH", "/customers/"+charles.ID, `{"email": "charles@example.org"}`, 200)
	c.ask(t, "PATCH", "/customers/"+ada.ID, `{"email": "ada@example.org"}`, 200)
}

// atOnce lets several seal the first values of a row at once. Who was slower is told to try again, or is merged.
func (c *customers) atOnce(t *testing.T) {
	for round := range 10 {
		id := c.ask(t, "POST", "/customers", `{"name": "Mary"}`, 201).ID
		email := fmt.Sprintf("charles@%d.example.org", round)
		var all sync.WaitGroup
		for _, body := range []string{`{"email": "` + email + `"}`, `{"phone": "+44 20 2"}`, `{"born_on": "1815-12-10"}`} {
			all.Go(func() {
				status := http.StatusConflict
				for range 50 {
					if status, _ = c.send(t, "PATCH", "/customers/"+id, body); status != http.StatusConflict {
						break
					}
				}
				if status != http.StatusOK {
					t.Errorf("%s: %d\n%s", body, status, c.log)
				}
			})
		}
		all.Wait()
		wantCustomer(t, c.ask(t, "GET", "/customers/"+id, "", 200), id, "Mary", email, "+44 20 2", "1815-12-10")
	}
}

func (c *customers) badRequests(t *testing.T) {
	for _, body := range []string{"", `{"name": ""}`, `{"email": "ada@example.org"}`, `{"name": "Ada Lovelace", "born_on": "ada@example.org"}`,
		`{"name": "Ada Lovelace", "ada@example.org": 1}`, `{"name": "Ada Lovelace", "phone": 1815}`} {
		status, answer := c.send(t, "POST", "/customers", body)
		if status != http.StatusBadRequest || strings.Contains(answer, "ada@") || strings.Contains(answer, "1815}") {
			t.Errorf("%s: %d, %s", body, status, answer)
		}
	}
	c.ask(t, "GET", "/customers", "", 404)
	c.ask(t, "GET", "/customers/nobody", "", 404)
}

func (c *customers) killed(t *testing.T) {
	before := c.ask(t, "GET", "/customers?email=ada@example.org", "", 200)
	c.kill()
	c.start()
	if after := c.ask(t, "GET", "/customers?email=ada@example.org", "", 200); after.ID != before.ID || *after.Email != "ada@example.org" {
		t.Errorf("found %s, want %s", after.ID, before.ID)
	}
	c.ask(t, "GET", "/healthz", "", 200)
}

// events of what was refused are not there.
func (c *customers) events(t *testing.T) {
	got := c.dump(t, `SELECT kind || ' ' || count(*) FROM events GROUP BY kind ORDER BY kind`)
	if want := "changed 35\ncreated 13\ndeleted 1\n"; got != want {
		t.Errorf("events:\n%s, want\n%s", got, want)
	}
}

func (c *customers) noKey(t *testing.T) {
	must(t, c.keys.Disable(t.Context(), "customers"))
	status, body := c.send(t, "GET", "/customers?email=ada@example.org", "")
	if status != 500 || body != `{"error":"this did not work"}`+"\n" {
		t.Errorf("%d, %s", status, body)
	}
	c.ask(t, "POST", "/customers", `{"name": "Ada Lovelace", "email": "new@example.org"}`, 500)
	c.ask(t, "GET", "/healthz", "", 200) // which does not ask the KMS
	c.wantNoStart(t, c.env, "version 1", "local/customers")
	must(t, c.keys.Enable(t.Context(), "customers"))
	c.ask(t, "GET", "/customers?email=ada@example.org", "", 200)
}

func (c *customers) noColumn(t *testing.T) {
	_, err := c.db.ExecContext(t.Context(), `ALTER TABLE customers RENAME COLUMN phone_ciphertext TO phone`)
	must(t, err)
	c.ask(t, "GET", "/healthz", "", 503)
	_, err = c.db.ExecContext(t.Context(), `ALTER TABLE customers RENAME COLUMN phone TO phone_ciphertext`)
	must(t, err)
	c.ask(t, "GET", "/healthz", "", 200)
}

func (c *customers) wrongEnvironment(t *testing.T) {
	url := strings.TrimPrefix(c.env[0], "DATABASE_URL=")
	for variable, says := range map[string]string{
		"DATABASE_URL=" + strings.Replace(url, "?", "_gone?", 1): "does not exist",
		"DATABASE_URL=":      "set DATABASE_URL",
		"KMS_KEY_ID=nothing": "KMS_KEY_ID",
		"KMS_KEY_ID=local/x": "keys create x",
		"INDEX_KEY=abc":      "INDEX_KEY",
		"LISTEN=8080":        "missing port",
	} {
		c.wantNoStart(t, append(c.env, variable), says)
	}
}

// wantNoStart starts another one, which ends with an error that says so, in the one line that it logs.
func (c *customers) wantNoStart(t *testing.T, env []string, says ...string) {
	t.Helper()
	out, err := command(t, c.file, env).CombinedOutput()
	if err == nil {
		t.Error("the service starts")
	}
	if lines := strings.Count(string(out), "\n"); lines != 1 || !strings.Contains(string(out), `"msg":"stopped"`) {
		t.Errorf("the service logs %d lines:\n%s", lines, out)
	}
	for _, part := range says {
		if !strings.Contains(string(out), part) {
			t.Errorf("the service does not say %q:\n%s", part, out)
		}
	}
}

// wantSealed looks for plaintext in every column of the database.
func (c *customers) wantSealed(t *testing.T) {
	t.Helper()
	all := c.dump(t, `SELECT c::text FROM customers c UNION ALL SELECT e::text FROM events e`)
	if !strings.Contains(all, "v1:") || !strings.Contains(all, "Lovelace") {
		t.Errorf("this is not the database:\n%s", all)
	}
	wantNone(t, "the database", all, secrets)
}

func (c *customers) wantNoSecrets(t *testing.T) {
	t.Helper()
	for _, l := range c.logs {
		if !strings.Contains(l.String(), `"pattern":"GET /customers"`) {
			t.Errorf("requests are not logged:\n%s", l)
		}
		wantNone(t, "the log", l.String(), slices.Concat(names, secrets))
	}
	c.wantSealed(t)
}

func wantNone(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s has %q:\n%s", where, s, text)
		}
	}
}

// dump returns the rows of a query with one column.
func (c *customers) dump(t *testing.T, query string) string {
	t.Helper()
	rows, err := c.db.QueryContext(t.Context(), query)
	must(t, err)
	defer rows.Close()
	var all strings.Builder
	for rows.Next() {
		var line string
		must(t, rows.Scan(&line))
		all.WriteString(line + "\n")
	}
	must(t, rows.Err())
	return all.String()
}

// ask sends a request, wants this status, and reads the customer in the answer, if there is one.
func (s *service) ask(t *testing.T, method, path, body string, status int) (c customer) {
	t.Helper()
	got, answer := s.send(t, method, path, body)
	if got != status {
		t.Fatalf("%s %s: %d, want %d: %s\n%s", method, path, got, status, answer, s.log)
	}
	if answer != "" && status < 300 {
		must(t, json.Unmarshal([]byte(answer), &c))
	}
	return c
}

func (s *service) send(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	must(t, err)
	got, err := http.DefaultClient.Do(r)
	must(t, err)
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	must(t, err)
	return got.StatusCode, string(b)
}

// wantCustomer compares a customer; "" is null.
func wantCustomer(t *testing.T, got customer, id, name, email, phone, bornOn string) {
	t.Helper()
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	g := [5]string{got.ID, got.Name, text(got.Email), text(got.Phone), text(got.BornOn)}
	if w := [5]string{id, name, email, phone, bornOn}; g != w || id == "" {
		t.Errorf("customer %q, want %q", g, w)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
