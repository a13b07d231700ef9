package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// openLedger fails the test when an event could not be written.
func openLedger(t *testing.T, path string) *audit.Ledger {
	t.Helper()
	l, err := audit.OpenLedger(path, &audit.LedgerOptions{OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func observedBy(l *audit.Ledger) *kms.Key {
	return kms.NewKey(&kmstest.Fake{ID: "vault/users", BatchSize: 1000}, &kms.KeyOptions{Observers: []kms.Observer{l}})
}

// written makes a ledger of n calls, for a user each, and returns its lines with their ends.
func written(t *testing.T, n int) (lines [][]byte, head audit.Head) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger")
	l := openLedger(t, path)
	key := observedBy(l)
	for i := range n {
		if _, err := key.Encrypt(t.Context(), []byte("data key"), user(i)); err != nil {
			t.Fatal(err)
		}
	}
	return readLines(t, path), l.Head()
}

func readLines(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(text))
}

func verify(t *testing.T, v *audit.Verifier, files ...[]byte) audit.Verification {
	t.Helper()
	for i, f := range files {
		if err := v.Add(fmt.Sprintf("file%d", i+1), bytes.NewReader(f)); err != nil {
			t.Fatal(err)
		}
	}
	return v.Result()
}

func wantWhole(t *testing.T, what string, r audit.Verification, entries uint64) {
	t.Helper()
	if len(r.Faults) != 0 || r.Entries != entries {
		t.Errorf("%s: %d entries, faults %v", what, r.Entries, r.Faults)
	}
}

func TestALedgerIsAsItWasWritten(t *testing.T) {
	lines, head := written(t, 9)
	r := verify(t, &audit.Verifier{Known: []audit.Head{head}}, bytes.Join(lines, nil))
	wantWhole(t, "nine calls", r, 9)
	if r.Head != head || r.Head.Seq != 9 || r.Records != 9 || r.First.IsZero() || r.Last.Before(r.First) {
		t.Errorf("%+v", r)
	}
	wantWhole(t, "gzipped", verify(t, &audit.Verifier{}, gzipped(t, bytes.Join(lines, nil))), 9)
	parsed, err := audit.ParseHead(head.String())
	if err != nil || parsed != head {
		t.Errorf("%v %v", parsed, err)
	}
}

// Whatever is done to any line is found: each byte that is flipped, each line that is dropped, doubled, moved or forged.
func TestTamperingWithAnyLineIsFound(t *testing.T) {
	const n = 7
	lines, head := written(t, n)
	faults := func(what string, changed ...[]byte) {
		t.Helper()
		if r := verify(t, &audit.Verifier{Known: []audit.Head{head}}, bytes.Join(changed, nil)); len(r.Faults) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
	for i := range lines {
		for at := range lines[i][:len(lines[i])-1] {
			changed := slices.Clone(lines)
			changed[i] = bytes.Clone(lines[i])
			changed[i][at] ^= 1
			faults(fmt.Sprintf("byte %d of line %d changed", at, i+1), changed...)
		}
		faults(fmt.Sprintf("line %d dropped", i+1), slices.Delete(slices.Clone(lines), i, i+1)...)
		faults(fmt.Sprintf("line %d twice", i+1), slices.Insert(slices.Clone(lines), i, lines[i])...)
		for j := range i {
			changed := slices.Clone(lines)
			changed[i], changed[j] = lines[j], lines[i]
			faults(fmt.Sprintf("lines %d and %d swapped", j+1, i+1), changed...)
		}
		faults(fmt.Sprintf("all after line %d cut off", i), lines[:i]...)
		faults(fmt.Sprintf("a foreign line before line %d", i+1), slices.Insert(slices.Clone(lines), i, []byte("{}\n"))...)
	}
	other, _ := written(t, n)
	faults("a ledger written anew", other...)
	for i := range lines {
		changed := slices.Clone(lines)
		changed[i] = other[i]
		faults(fmt.Sprintf("line %d of another ledger", i+1), changed...)
	}
}

func TestWhereATamperedLineIsIsSaid(t *testing.T) {
	lines, _ := written(t, 5)
	changed := slices.Clone(lines)
	changed[2] = bytes.Replace(lines[2], []byte(`"model_id":"2"`), []byte(`"model_id":"4"`), 1)
	for _, test := range []struct {
		lines [][]byte
		want  string
	}{
		{changed, "file1:3: entry 3 was changed"},
		{slices.Delete(slices.Clone(lines), 1, 3), "file1:2: entries 2 to 3 are missing before this one, 4"},
		{lines[2:], "file1:1: it begins with entry 3"},
	} {
		r := verify(t, &audit.Verifier{}, bytes.Join(test.lines, nil))
		if len(r.Faults) != 1 || !strings.HasPrefix(r.Faults[0].String(), test.want) {
			t.Errorf("got %v, want %s", r.Faults, test.want)
		}
	}
}

func TestALedgerGoesOnInNewFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger")
	l := openLedger(t, path)
	key := observedBy(l)
	var files [][]byte
	for i := range 3 {
		for range 2 {
			key.Encrypt(t.Context(), []byte("data key"), user(i))
		}
		old := filepath.Join(dir, fmt.Sprint("ledger.", i))
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
	}
	l.Close() // another process goes on, which has seen no file
	observedBy(openLedger(t, path)).Encrypt(t.Context(), []byte("data key"), user(3))
	for _, name := range []string{"ledger.0", "ledger.1", "ledger.2", "ledger"} {
		files = append(files, bytes.Join(readLines(t, filepath.Join(dir, name)), nil))
	}
	wantWhole(t, "four files", verify(t, new(audit.Verifier), files...), 7)

	first := verify(t, new(audit.Verifier), files[0])
	wantWhole(t, "what follows a head", verify(t, &audit.Verifier{After: first.Head}, files[1:]...), 5)
	if r := verify(t, new(audit.Verifier), files[0], files[2]); len(r.Faults) != 1 {
		t.Errorf("a missing file: %v", r.Faults)
	}
}

func TestALedgerGoesOnAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	for i := range 3 {
		l := openLedger(t, path)
		observedBy(l).Encrypt(t.Context(), []byte("data key"), user(i))
		l.Close()
		l.Close()
	}
	wantWhole(t, "three runs", verify(t, new(audit.Verifier), bytes.Join(readLines(t, path), nil)), 3)
}

// A writer that is killed in the middle of a line leaves a part of it: no fault, and no way to hide a line.
func TestALineThatAKilledWriterLeftIsNoFault(t *testing.T) {
	for _, left := range []string{"{", `{"seq":4,"prev":"`, strings.Repeat("x", 200_000)} {
		path := filepath.Join(t.TempDir(), "ledger")
		l := openLedger(t, path)
		key := observedBy(l)
		key.Encrypt(t.Context(), []byte("data key"), user(1))
		appendTo(t, path, left)
		key.Encrypt(t.Context(), []byte("data key"), user(2))
		lines := readLines(t, path)
		r := verify(t, new(audit.Verifier), bytes.Join(lines, nil))
		wantWhole(t, "a torn line", r, 2)
		if r.Torn != 1 {
			t.Errorf("%+v", r)
		}
		for what, changed := range map[string][][]byte{
			"removed": {lines[0], lines[2]}, "changed": {lines[0], []byte("y\n"), lines[2]}, "another beside it": {lines[0], lines[1], lines[1], lines[2]},
		} {
			if r := verify(t, new(audit.Verifier), bytes.Join(changed, nil)); len(r.Faults) == 0 {
				t.Errorf("a torn line that is %s is not found", what)
			}
		}
	}
	// and one that is all there is
	path := filepath.Join(t.TempDir(), "ledger")
	appendTo(t, path, `{"seq":1`)
	observedBy(openLedger(t, path)).Encrypt(t.Context(), []byte("data key"), user(2))
	wantWhole(t, "a torn first line", verify(t, new(audit.Verifier), bytes.Join(readLines(t, path), nil)), 1)
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestALedgerIsNotContinuedAfterWhatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	appendTo(t, path, "a log of something else\n")
	if _, err := audit.OpenLedger(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestCallsOfManyRecordsHaveSeveralLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	observedBy(openLedger(t, path)).EncryptBatch(t.Context(), rows(600))
	r := verify(t, new(audit.Verifier), bytes.Join(readLines(t, path), nil))
	wantWhole(t, "600 records", r, 3)
	if r.Records != 600 {
		t.Errorf("%d records", r.Records)
	}
}

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	var told error
	l, err := audit.OpenLedger(filepath.Join(t.TempDir(), "ledger"), &audit.LedgerOptions{OnError: func(err error) { told = err }})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := observedBy(l).Encrypt(t.Context(), []byte("data key"), user(1)); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(told, os.ErrClosed) {
		t.Errorf("told %v", told)
	}
}

// TestManyWriters has processes and goroutines write to one ledger, while it is renamed again and again.
func TestManyWriters(t *testing.T) {
	const processes, goroutines, calls, renames = 3, 4, 20, 10
	if path := os.Getenv("ROWSEAL_TEST_LEDGER"); path != "" {
		writeUntilEnough(t, path, goroutines, calls)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger")
	var writers []*exec.Cmd
	var counts [processes]bytes.Buffer
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyWriters$")
		cmd.Env = append(os.Environ(), "ROWSEAL_TEST_LEDGER="+path)
		cmd.Stdout, cmd.Stderr = &counts[i], os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, cmd)
	}
	var names []string
	for len(names) < renames {
		if info, err := os.Stat(path); err != nil || info.Size() < 2_000 {
			time.Sleep(time.Millisecond)
			continue
		}
		name := filepath.Join(dir, fmt.Sprintf("ledger.%03d", len(names)))
		if err := os.Rename(path, name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	appendTo(t, path+".enough", "")
	var written uint64
	for i, w := range writers {
		if err := w.Wait(); err != nil {
			t.Fatal(err)
		}
		var n uint64
		if _, err := fmt.Sscanf(counts[i].String(), "wrote %d", &n); err != nil {
			t.Fatalf("%v in %q", err, &counts[i])
		}
		written += n
	}
	if _, err := os.Stat(path); err == nil {
		names = append(names, path)
	}
	var files [][]byte
	for _, name := range names {
		files = append(files, bytes.Join(readLines(t, name), nil))
	}
	wantWhole(t, "all writers", verify(t, new(audit.Verifier), files...), written)
}

// writeUntilEnough writes until the other process has seen enough, and says how much.
func writeUntilEnough(t *testing.T, path string, goroutines, calls int) {
	key := observedBy(openLedger(t, path))
	var wg sync.WaitGroup
	var written atomic.Int64
	for range goroutines {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, err := os.Stat(path + ".enough"); err == nil && i >= calls {
					return
				}
				key.Encrypt(t.Context(), []byte("data key"), user(i))
				written.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println("wrote", written.Load())
}
