package audit_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
)

var update = flag.Bool("update", false, "write the files of testdata that tests compare with")

// readAll returns the events of a log, a line each.
func readAll(t *testing.T, r *audit.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, describe(e))
	}
}

// describe is all that an event says.
func describe(e audit.Event) string {
	s := fmt.Sprintf("%s %s %s %s (%s)", e.Time.UTC().Format(time.RFC3339Nano), e.Source, e.Op, e.Outcome, e.Action)
	for _, part := range []struct{ name, value string }{
		{"error", e.Error}, {"key", e.KeyID}, {"version", e.KeyVersion}, {"by", e.Principal}, {"for", e.Purpose}, {"from", e.Address},
		{"record", e.Record()}, {"hash", e.ContextHash}, {"request", e.Request},
	} {
		if part.value != "" {
			s += "\n    " + part.name + " " + part.value
		}
	}
	if e.To != nil {
		s += fmt.Sprint("\n    to ", e.To)
	}
	return s
}

// The samples are in the schemas that the services document, but for those of Vault and OpenBao, which real servers have written.
func TestEveryLogIsRead(t *testing.T) {
	logs, err := filepath.Glob("testdata/logs/*.*")
	if err != nil || len(logs) < 10 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	for _, path := range logs {
		if strings.HasSuffix(path, ".want") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r := audit.NewReader(path, bytes.NewReader(content))
			got := readAll(t, r)
			stats := r.Stats()
			got += fmt.Sprintf("%d entries, %d about something else, %d that cannot be read\n", stats.Entries, stats.Skipped, stats.Malformed)
			golden(t, path+".want", got)
			if zipped := readAll(t, audit.NewReader(path, bytes.NewReader(gzipped(t, content)))); !strings.HasPrefix(got, zipped) || zipped == "" {
				t.Errorf("gzipped: %s", zipped)
			}
			if twice := readAll(t, audit.NewReader(path, io.MultiReader(bytes.NewReader(content), bytes.NewReader(content)))); len(twice) != 2*strings.LastIndex(got[:len(got)-1], "\n")+2 {
				t.Errorf("the same log twice, one after the other, has other events: %s", twice)
			}
		})
	}
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s", path, got)
	}
}

const decrypt = `{"eventTime":"2026-11-24T08:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt",` +
	`"requestParameters":{"encryptionContext":{"model_name":"User","model_id":"%d"}}}`

func record(id int) string { return fmt.Sprintf(decrypt, id) }

// What cannot be read is counted, with its place, and nothing beside it is lost.
func TestWhatCannotBeReadIsCounted(t *testing.T) {
	for _, test := range []struct {
		what, log         string
		events, malformed int
		example           string
	}{
		{"lines", record(1) + "\nnonsense\n" + record(2) + "\n", 2, 1, "log:2: not JSON"},
		{"a line that is cut off", record(1) + "\n" + record(2)[:40] + "\n" + record(3), 2, 1, "log:2: not JSON"},
		{"a last line that is cut off", record(1) + "\n" + record(2)[:40], 1, 1, "log:2: not JSON"},
		{"an unknown object", record(1) + "\n{\"a\":1}\n", 1, 1, "log:2: not an entry of a log that is known"},
		{"an array's element", `{"Records":[` + record(1) + `,{"a":},` + record(2) + `]}`, 2, 1, "log:2: not JSON"},
		{"an element that is no object", `{"Records":[` + record(1) + `,null,"x,]",5,` + record(2) + `]}`, 2, 3, "log:2: not an entry of a log that is known"},
		{"an array that is cut off", `{"Records":[` + record(1) + `,` + record(2)[:50], 1, 1, "log:2: ends in the middle"},
		{"an array without its end", `[` + record(1), 1, 1, "log:2: ends in the middle"},
		{"a document without its end", `{"Records":[` + record(1) + `]`, 1, 1, "log:2: ends in the middle"},
		{"a line of another program", "[2026-11-24] started\n" + record(1), 1, 1, "log:1: not JSON"},
		{"documents in lines", `{"Records":[` + record(1) + "]}\n" + `{"Records":[` + record(2) + "]}\n" + record(3), 3, 0, ""},
		{"an array that ends as an object", `{"Records":[` + record(1) + `,}` + "\n" + record(2), 2, 1, "log:2: not JSON"},
		{"an array that begins with an end", `{"Records":[}` + "\n" + record(2), 1, 1, "log:1: not JSON"},
		{"an empty array", `{"Records":[]}`, 0, 0, ""},
		{"nothing", "", 0, 0, ""},
		{"a name of another format in a context", `{"eventTime":"2026-11-24T08:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt",` +
			`"requestParameters":{"encryptionContext":{"protoPayload":"x","detail-type":"y","request":"z"}}}`, 1, 0, ""},
		{"braces in texts", `{"Records":[` + strings.Replace(record(1), `User`, `]}\"{[\\`, 1) + `,` + record(2) + `]}`, 2, 0, ""},
	} {
		r := audit.NewReader("log", strings.NewReader(test.log))
		readAll(t, r)
		s := r.Stats()
		if s.Events != test.events || s.Malformed != test.malformed || test.example != "" && (len(s.Examples) == 0 || s.Examples[0].String() != test.example) {
			t.Errorf("%s: %+v", test.what, s)
		}
	}
}

// vaultLine is what Vault writes of a decryption that worked, or, with another path, of anything.
func vaultLine(path, operation, context string) string {
	return fmt.Sprintf(`{"type":"response","time":"2026-11-24T08:00:00Z","auth":{"display_name":"token-app"},"request":{"id":"1","operation":%q,"path":%q,`+
		`"data":{"context":%q}},"response":{"data":{"plaintext":"hmac-sha256:1"}}}`+"\n", operation, path, context)
}

func TestWhatVaultWritesInClear(t *testing.T) {
	for context, want := range map[string]string{
		"eyJtb2RlbF9pZCI6IjEiLCJtb2RlbF9uYW1lIjoiVXNlciJ9\n": "User 1", // a device with log_raw
		"hmac-sha256:1": "hmac-sha256:1",
		"bm8ganNvbg==":  "bm8ganNvbg==",
		"":              "",
	} {
		e, err := audit.NewReader("log", strings.NewReader(vaultLine("transit/decrypt/users", "update", context))).Next()
		if err != nil || e.Record() != want {
			t.Errorf("%q is %q, %v", context, e.Record(), err)
		}
	}
}

// What a caller sends beside what the server reads must not stand in for it: names in another case, above all.
func TestWhatACallerAddsHidesNoRecord(t *testing.T) {
	for what, data := range map[string]string{
		"a batch in another case":   `{"context":"hmac-sha256:1","Batch_Input":[{}],"BATCH_INPUT":[{"context":"hmac-sha256:2"}]}`,
		"a context in another case": `{"Context":"hmac-sha256:2","context":"hmac-sha256:1","CONTEXT":"hmac-sha256:2"}`,
		"in a batch":                `{"batch_input":[{"context":"hmac-sha256:1","Context":"hmac-sha256:2"}],"Batch_input":[],"context":"hmac-sha256:2"}`,
		"only in another case":      `{"batch_input":[{"Context":"hmac-sha256:1"}]}`,
	} {
		line := strings.Replace(vaultLine("transit/decrypt/users", "update", ""), `{"context":""}`, data, 1)
		r := audit.NewReader("log", strings.NewReader(line))
		e, err := r.Next()
		if _, end := r.Next(); err != nil || end != io.EOF || e.ContextHash != "hmac-sha256:1" {
			t.Errorf("%s: %+v, %v", what, e, err)
		}
	}
}

func TestRecordsOfOtherServicesAreNotRead(t *testing.T) {
	for _, log := range []string{
		`{"eventTime":"2026-11-24T08:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":"text","resources":5}`,
		`{"eventTime":5,"eventSource":"iot.amazonaws.com","eventName":"X","requestParameters":{"keyId":7,"encryptionContext":[1]},"readOnly":"no"}`,
	} {
		r := audit.NewReader("log", strings.NewReader(log))
		readAll(t, r)
		if s := r.Stats(); s.Skipped != 1 || s.Malformed != 0 {
			t.Errorf("%s: %+v", log, s)
		}
	}
}

func TestARecordOfTheKMSThatCannotBeReadIsCounted(t *testing.T) {
	for _, log := range []string{
		`{"eventTime":"yesterday","eventSource":"kms.amazonaws.com","eventName":"Decrypt"}`,
		`{"eventTime":5,"eventSource":"kms.amazonaws.com","eventName":"Decrypt"}`,
		`{"eventTime":"2026-11-24T08:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","requestParameters":{"encryptionContext":[1]}}`,
	} {
		r := audit.NewReader("log", strings.NewReader(log))
		readAll(t, r)
		if s := r.Stats(); s.Malformed != 1 {
			t.Errorf("%s: %+v", log, s)
		}
	}
}

func TestWhatVaultsLogSaysOfKeysAndRights(t *testing.T) {
	for path, want := range map[string]string{ // of an update, and of a read
		"transit/decrypt/users": "decrypt ", "team/transit/rewrap/users": "rewrap ", "transit/keys/users": "manage ", "transit/keys/users/config": "manage ",
		"transit/export/encryption-key/users/1": " manage", "transit/backup/users": " manage", "sys/audit/file": "manage ", "sys/policies/acl/x": "manage ",
		"sys/remount": "manage ", "sys/raw/x": "manage manage", "sys/mounts/transit": "manage ", "secret/data/x": " ", "auth/token/create": " ",
	} {
		var got []string
		for _, operation := range []string{"update", "read"} {
			line := strings.Replace(vaultLine(path, operation, "hmac-sha256:1"), `"data":`, `"mount_type":"transit","data":`, 1)
			e, _ := audit.NewReader("log", strings.NewReader(line)).Next()
			got = append(got, string(e.Op))
		}
		if ops := strings.Join(got, " "); ops != want && !(strings.Contains(want, " manage") && strings.HasSuffix(ops, "manage")) {
			t.Errorf("%s: %q, want %q", path, ops, want)
		}
	}
}

func TestAnEntryThatIsTooLongEndsTheReading(t *testing.T) {
	for _, begin := range []string{"", `{"Records":[{"a":"`} {
		r := audit.NewReader("log", io.MultiReader(strings.NewReader(begin), &repeated{chunk: []byte(strings.Repeat("x", 1000)), left: 70 << 20}))
		if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "64 MiB") {
			t.Errorf("got %v", err)
		}
	}
}

// repeated is a log that nobody has to keep.
type repeated struct {
	chunk []byte
	at    int
	left  int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 && r.at == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunk[r.at:])
	r.at = (r.at + n) % len(r.chunk)
	r.left -= n
	return n, nil
}

// TestMemoryStaysTheSame reads a CloudTrail document of 1 GB with ROWSEAL_SOAK=1, and of 60 MB else, in one array.
func TestMemoryStaysTheSame(t *testing.T) {
	size := 60 << 20
	if os.Getenv("ROWSEAL_SOAK") != "" {
		size = 1 << 30
	}
	sample, err := os.ReadFile("testdata/logs/cloudtrail.json")
	if err != nil {
		t.Fatal(err)
	}
	elements := append(bytes.TrimSuffix(bytes.TrimPrefix(sample, []byte(`{"Records": [`)), []byte("]}")), ',')
	r := audit.NewReader("log", io.MultiReader(strings.NewReader(`{"Records":[`), &repeated{chunk: elements, left: size}, strings.NewReader(`{}]}`)))
	report := &audit.Report{}
	tenth := size / len(elements) * 11 / 10 // entries
	var first, most uint64
	for n, next := 0, tenth; ; n++ {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		report.Add(e)
		if r.Stats().Entries >= next {
			next += tenth
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if first == 0 {
				first = m.HeapAlloc
			}
			most = max(most, m.HeapAlloc)
		}
	}
	if s := r.Stats(); s.Entries < size/1200 || s.Malformed != 1 {
		t.Errorf("%+v", s)
	}
	if most > first+2<<20 {
		t.Errorf("the heap grew from %d to %d bytes", first, most)
	}
	t.Logf("%d entries, heap %d to %d KiB", r.Stats().Entries, first>>10, most>>10)
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"cloudtrail.json", "vault.log", "google.jsonl", "azure.jsonl"} {
		b.Run(name, func(b *testing.B) {
			content, err := os.ReadFile(filepath.Join("testdata/logs", name))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				r := audit.NewReader(name, bytes.NewReader(content))
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}
