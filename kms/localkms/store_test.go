package localkms

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t testing.TB, path string, mode fs.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// newStore is an empty directory. With a umask of 002, t.TempDir is one that the group can write to.
func newStore(t testing.TB) Store {
	t.Helper()
	s := Store{Dir: filepath.Join(t.TempDir(), "keys")}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// everyChange is what alters a key.
func everyChange(ctx context.Context, s Store, name string) map[string]func() error {
	return map[string]func() error{
		"Create":  func() error { return s.Create(ctx, name) },
		"Rotate":  func() error { _, err := s.Rotate(ctx, name); return err },
		"Disable": func() error { return s.Disable(ctx, name) },
		"Enable":  func() error { return s.Enable(ctx, name) },
	}
}

// everyMethod is what can be done with one key.
func everyMethod(s Store, name string) map[string]func() error {
	all := everyChange(context.Background(), s, name)
	all["Open"] = func() error {
		k, err := s.Open(name)
		if err != nil {
			return err
		}
		_, err = decrypt(k, make([]byte, overhead), nil)
		return err
	}
	return all
}

func TestNames(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "keys")}
	for _, name := range []string{"a", "0", "users", "users.v2", "a-b_c.d", strings.Repeat("x", 64), "a..b"} {
		if err := s.Create(t.Context(), name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".users", "-users", "_users", "Users", "uSers", "a/b", "../users", "/users", `a\b`, "a b", "a\x00", "a\n",
		"ü", "a:b", "a%2fb", strings.Repeat("x", 65),
	} {
		for method, call := range everyMethod(s, name) {
			err := call()
			if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), "a-z, 0-9") {
				t.Errorf("%s(%q): %v", method, name, err)
			}
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(s.Dir)); len(entries) != 1 {
		t.Errorf("files outside of the directory: %v", entries)
	}
}

func TestDirectory(t *testing.T) {
	abs := t.TempDir()
	t.Chdir(abs)
	t.Setenv("ROWSEAL_LOCAL_KEYS", "from-env")
	for _, test := range []struct{ name, dir, want string }{
		{"Dir wins", filepath.Join(abs, "x"), filepath.Join(abs, "x")},
		{"and is made absolute", "x", filepath.Join(abs, "x")},
		{"else the environment", "", filepath.Join(abs, "from-env")},
	} {
		if got, err := (Store{Dir: test.dir}).Directory(); err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
	t.Setenv("ROWSEAL_LOCAL_KEYS", "")
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (Store{}).Directory(); err != nil || got != filepath.Join(config, "rowseal", "keys") {
		t.Errorf("default: %q, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		t.Setenv("HOME", "")
		t.Setenv("XDG_CONFIG_HOME", "")
		if _, err := (Store{}).Directory(); err == nil || !strings.Contains(err.Error(), "ROWSEAL_LOCAL_KEYS") {
			t.Errorf("without a home: %v", err)
		}
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	before := readFile(t, key.path)
	err := s.Create(t.Context(), "users")
	if !errors.Is(err, fs.ErrExist) || !errors.Is(err, kms.ErrInvalidRequest) {
		t.Fatalf("second Create: %v", err)
	}
	want := "localkms: the key is there already, in " + key.path + "; to add a version: rowseal keys rotate users"
	if err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
	if string(readFile(t, key.path)) != string(before) {
		t.Error("the file changed")
	}
}

// A file that appears between Create's look and its write, put there by something that knows of no lock.
func TestCreateDoesNotReplaceAFileThatAppears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	f := &keyFile{Format: format, Name: "users", Current: 1, Versions: []version{newVersion(1)}}
	writeFile(t, path, []byte("restored"))
	if err := f.add(osDisk{}, path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("add: %v", err)
	}
	if got := readFile(t, path); string(got) != "restored" {
		t.Errorf("file is now %q", got)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	s := Store{Dir: filepath.Join(t.TempDir(), "a", "b")}
	key := newKey(t, s, "users")
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	rotate(t, s, "users")
	for path, want := range map[string]fs.FileMode{
		key.path:                       0o600,
		filepath.Join(s.Dir, lockName): 0o600,
		s.Dir:                          0o700,
		filepath.Dir(s.Dir):            0o700,
	} {
		if got := mode(path); got != want {
			t.Errorf("%s has mode %#o, want %#o", path, got, want)
		}
	}
}

func TestAFileThatOthersMayUseIsRefused(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	before := readFile(t, key.path)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777} {
		chmod(t, key.path, mode)
		for method, call := range everyMethod(s, "users") {
			err := call()
			if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), "chmod 600 "+key.path) {
				t.Errorf("%s with mode %#o: %v", method, mode, err)
			}
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		chmod(t, key.path, mode)
		encrypt(t, key, []byte("x"), row)
	}
	if string(readFile(t, key.path)) != string(before) {
		t.Error("the file changed")
	}
}

func TestList(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "keys")}
	if keys, err := s.List(); len(keys) != 0 || err != nil {
		t.Errorf("without a directory: %v, %v", keys, err)
	}
	start := time.Now().Truncate(time.Second)
	for _, name := range []string{"zoo", "users", "broken", "off"} {
		newKey(t, s, name)
	}
	rotate(t, s, "users")
	if err := s.Disable(t.Context(), "off"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, keyPath(s.Dir, "broken"), []byte("{"))
	writeFile(t, filepath.Join(s.Dir, "Upper.json"), []byte("{}"))
	for _, ignored := range []string{".new-123", ".hidden.json", "README", "users.json~"} {
		writeFile(t, filepath.Join(s.Dir, ignored), []byte("x"))
	}
	keys, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]KeyInfo{}
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
		byName[k.Name] = k
	}
	if want := []string{"Upper", "broken", "off", "users", "zoo"}; !slices.Equal(names, want) {
		t.Fatalf("names %v, want %v", names, want)
	}
	users := byName["users"]
	if users.Current != 2 || len(users.Versions) != 2 || users.Disabled || users.Err != nil || users.ID() != "local/users" {
		t.Errorf("users: %+v", users)
	}
	for i, v := range users.Versions {
		if v.Number != uint32(i+1) || v.Created.Before(start) || v.Created.After(time.Now()) {
			t.Errorf("version %d: %+v", i+1, v)
		}
	}
	if !byName["off"].Disabled {
		t.Error("off is not listed as disabled")
	}
	if !errors.Is(byName["broken"].Err, ErrKeyFile) || byName["broken"].File != keyPath(s.Dir, "broken") {
		t.Errorf("broken: %+v", byName["broken"])
	}
	if !errors.Is(byName["Upper"].Err, kms.ErrInvalidRequest) {
		t.Errorf("Upper: %+v", byName["Upper"])
	}
}

func TestDisableAndEnableTwice(t *testing.T) {
	s := newStore(t)
	newKey(t, s, "users")
	for _, step := range []func(context.Context, string) error{s.Disable, s.Disable, s.Enable, s.Enable} {
		if err := step(t.Context(), "users"); err != nil {
			t.Error(err)
		}
	}
}

func TestADisabledKeyRotatesAndStaysDisabled(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	if err := s.Disable(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	if v := rotate(t, s, "users"); v != 2 {
		t.Errorf("version %d", v)
	}
	if err := key.Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0].Err; !errors.Is(err, kms.ErrKeyDisabled) {
		t.Errorf("error %v", err)
	}
}

// What a power cut may leave at each write: a version is on disk before it seals, and a key before it can be used.
func TestNothingSealsBeforeItIsOnDisk(t *testing.T) {
	f := &keyFile{Format: format, Name: "users", Current: 1, Versions: []version{newVersion(1)}}
	type state struct {
		disabled bool
		current  uint32
		versions int
	}
	var states []state
	note := func() error {
		states = append(states, state{f.Disabled, f.Current, len(f.Versions)})
		return nil
	}
	if err := f.create(note, note); err != nil {
		t.Fatal(err)
	}
	if v, err := f.rotate(note); v != 2 || err != nil {
		t.Fatal(v, err)
	}
	if want := []state{{true, 1, 1}, {false, 1, 1}, {false, 1, 2}, {false, 2, 2}}; !slices.Equal(states, want) {
		t.Errorf("written %v, want %v", states, want)
	}
}

func TestAFailedWriteStopsARotation(t *testing.T) {
	cause := errors.New("disk full")
	for fails := range 2 {
		f := &keyFile{Format: format, Name: "users", Current: 1, Versions: []version{newVersion(1)}}
		writes := 0
		v, err := f.rotate(func() error {
			writes++
			if writes > fails {
				return cause
			}
			return nil
		})
		if v != 0 || !errors.Is(err, cause) || writes != fails+1 {
			t.Errorf("write %d fails: version %d, %v, %d writes", fails+1, v, err, writes)
		}
	}
}

// A rotation that was cut short leaves a version that never seals; its number is not used again.
func TestRotationAfterOneThatWasCutShort(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	f := mustParse(t, readFile(t, key.path), "users")
	f.Versions = append(f.Versions, newVersion(2))
	writeFile(t, key.path, encode(t, f))
	if got := versionOf(encrypt(t, key, []byte("x"), row)); got != 1 {
		t.Errorf("it seals with version %d", got)
	}
	if v := rotate(t, s, "users"); v != 3 {
		t.Errorf("the next version is %d", v)
	}
	if got := versionOf(encrypt(t, key, []byte("x"), row)); got != 3 {
		t.Errorf("then it seals with version %d", got)
	}
}

func TestAFailedWriteLeavesTheFileAndNoOther(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	before := readFile(t, key.path)
	f := mustParse(t, before, "users")
	f.Disabled = true
	var written []byte
	err := f.write(osDisk{}, key.path, func(from, _ string) error {
		written = readFile(t, from)
		return errors.New("cannot rename")
	})
	if !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if !mustParse(t, written, "users").Disabled {
		t.Error("the temporary file was not complete when it was to get its name")
	}
	if string(readFile(t, key.path)) != string(before) {
		t.Error("the file changed")
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestVersionNumbersAndFileSizeAreBounded(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	f := mustParse(t, readFile(t, key.path), "users")
	f.Versions[0].Number, f.Current = math.MaxUint32, math.MaxUint32
	writeFile(t, key.path, encode(t, f))
	encrypt(t, key, []byte("x"), row)
	if _, err := s.Rotate(t.Context(), "users"); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("Rotate after the last number: %v", err)
	}

	full := mustParse(t, readFile(t, newKey(t, s, "full").path), "full")
	v := full.Versions[0]
	for range maxFileSize / 100 { // a version takes more than 100 bytes
		v.Number++
		full.Versions = append(full.Versions, v)
	}
	before := readFile(t, keyPath(s.Dir, "full"))
	if err := full.replace(osDisk{}, keyPath(s.Dir, "full")); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("replace with %d versions: %v", len(full.Versions), err)
	}
	if string(readFile(t, keyPath(s.Dir, "full"))) != string(before) {
		t.Error("the file changed")
	}
}

func TestASymbolicLinkIsReadAndNeverReplaced(t *testing.T) {
	real, linked := newStore(t), newStore(t)
	key := newKey(t, real, "users")
	if err := os.Symlink(key.path, keyPath(linked.Dir, "users")); err != nil {
		t.Skip("this system makes no symbolic links here: ", err)
	}
	wrapped := encrypt(t, key, []byte("x"), row)
	if _, err := decrypt(openKey(t, linked, "users"), wrapped, row); err != nil {
		t.Errorf("Decrypt through the link: %v", err)
	}
	for method, call := range everyMethod(linked, "users") {
		if method == "Open" || method == "Enable" { // Enable has nothing to write
			continue
		}
		if err := call(); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("%s through the link: %v", method, err)
		}
	}
	chmod(t, key.path, 0o644)
	if _, err := decrypt(openKey(t, linked, "users"), wrapped, row); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("the mode of what it leads to: %v", err)
	}
	dangling := filepath.Join(real.Dir, "elsewhere.json")
	if err := os.Symlink(dangling, keyPath(linked.Dir, "new")); err != nil {
		t.Fatal(err)
	}
	for method, call := range everyMethod(linked, "new") {
		err := call()
		if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "put that file back, or remove the link") {
			t.Errorf("%s through a dangling link: %v", method, err)
		}
	}
	if _, err := os.Lstat(dangling); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Create wrote through a dangling link")
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	s := newStore(t)
	if err := os.Mkdir(keyPath(s.Dir, "users"), 0o700); err != nil {
		t.Fatal(err)
	}
	for method, call := range everyMethod(s, "users") {
		if err := call(); !errors.Is(err, ErrKeyFile) {
			t.Errorf("%s of a directory: %v", method, err)
		}
	}
}

func TestADirectoryThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, nil)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nothing"), link); err != nil {
		t.Skip("this system makes no symbolic links here: ", err)
	}
	refused := func(what, dir string, err error) {
		t.Helper()
		if !errors.Is(err, kms.ErrInvalidRequest) ||
			!strings.Contains(err.Error(), dir+" is not a directory; set $ROWSEAL_LOCAL_KEYS (or Store.Dir)") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for method, call := range everyMethod(Store{Dir: file}, "users") {
		refused(method+" in a file", file, call())
	}
	_, err := Store{Dir: file}.List()
	refused("List of a file", file, err)
	refused("Create beneath a file", file, Store{Dir: filepath.Join(file, "keys")}.Create(t.Context(), "users"))
	refused("Create in a dangling link", link, Store{Dir: link}.Create(t.Context(), "users"))
}

func TestACtxThatHasEndedChangesNothing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := newStore(t)
	key := newKey(t, s, "users")
	before := readFile(t, key.path)
	for method, call := range everyChange(ended, s, "users") {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if string(readFile(t, key.path)) != string(before) {
		t.Error("the file changed")
	}
	missing := Store{Dir: filepath.Join(s.Dir, "more")}
	if err := missing.Create(ended, "users"); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if _, err := os.Stat(missing.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Create made the directory")
	}
}

func TestTheWaitForTheLockEndsWithCtx(t *testing.T) {
	s := newStore(t)
	newKey(t, s, "users")
	unlock, err := tryLock(filepath.Join(s.Dir, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(3*leastLockPoll, cancel)
	late, stop := context.WithTimeout(t.Context(), 3*leastLockPoll)
	defer stop()
	for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
		for method, call := range everyChange(ctx, s, "users") {
			if err := call(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", method, err, want)
			}
		}
	}
}

func TestALockThatIsHeldIsWaitedForAndNotForEver(t *testing.T) {
	for name, try := range map[string]func(string) (func() error, error){"this system's": tryLock, "by making a file": tryExclusive} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), lockName)
			unlock, err := acquire(t.Context(), path, try, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := acquire(t.Context(), path, try, 0); !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), path) {
				t.Errorf("while it is held: %v", err)
			}
			waiting := make(chan error)
			go func() {
				unlock, err := acquire(t.Context(), path, try, time.Minute)
				if err == nil {
					err = unlock()
				}
				waiting <- err
			}()
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			if err := <-waiting; err != nil {
				t.Errorf("the waiting one: %v", err)
			}
		})
	}
}
