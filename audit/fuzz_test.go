package audit_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
)

// samples are the logs that readers are fuzzed from.
func samples(f *testing.F) [][]byte {
	f.Helper()
	paths, err := filepath.Glob("testdata/logs/*.*")
	if err != nil || len(paths) < 20 {
		f.Fatalf("%d samples, %v", len(paths), err)
	}
	var all [][]byte
	for _, path := range paths {
		if strings.HasSuffix(path, ".want") {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, content[:min(len(content), 6000)])
	}
	return all
}

// FuzzReader: whatever a log holds, it is read to its end, each entry is counted once, and every event is one that can be shown.
func FuzzReader(f *testing.F) {
	for _, sample := range samples(f) {
		f.Add(sample)
	}
	f.Add([]byte(`{"Records":[}`))
	f.Add([]byte(`{"Records":[5,"x]",{"a":1}],"b":[{}]}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		r := audit.NewReader("log", bytes.NewReader(log))
		report, n := &audit.Report{}, 0
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if bytes.HasPrefix(log, []byte{0x1f, 0x8b}) {
					return // what claims to be gzip, and is not
				}
				t.Fatal(err)
			}
			n++
			report.Add(e)
		}
		if s := r.Stats(); s.Events != n || s.Entries < s.Malformed+s.Skipped || len(s.Examples) > 10 || s.Entries > len(log) {
			t.Errorf("%d events, %+v", n, s)
		}
		var out bytes.Buffer
		d := &audit.Document{Summary: report.Summary()}
		if err := errors.Join(d.WriteText(&out), d.WriteHTML(&out), d.WriteJSON(&out)); err != nil {
			t.Error(err)
		}
		if n := strings.Count(out.String(), "<script"); n != 2 {
			t.Errorf("the page has %d scripts", n)
		}
	})
}

// FuzzVerifier: what is not as a ledger was written is a fault, and nothing stops the check.
func FuzzVerifier(f *testing.F) {
	path := filepath.Join(f.TempDir(), "ledger")
	l, err := audit.OpenLedger(path, nil)
	if err != nil {
		f.Fatal(err)
	}
	key := observedBy(l)
	for i := range 3 {
		key.Encrypt(f.Context(), []byte("data key"), user(i))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Fuzz(func(t *testing.T, ledger []byte) {
		v := &audit.Verifier{Known: []audit.Head{l.Head()}}
		if err := v.Add("ledger", bytes.NewReader(ledger)); err != nil {
			t.Fatal(err)
		}
		if r := v.Result(); len(r.Faults) == 0 && !bytes.Equal(bytes.TrimSuffix(ledger, []byte("\n")), bytes.TrimSuffix(whole, []byte("\n"))) {
			t.Errorf("taken for the ledger: %q", ledger)
		}
	})
}
