package vaulttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

var build struct {
	sync.Once
	path string
	err  error
	out  []byte
}

// program returns the path of the built-in server, which it builds if it has to. It is the same in all test processes: the
// go command leaves an up-to-date program alone, and it is built without -race whatever the tests are.
func program(tb testing.TB) string {
	tb.Helper()
	build.Do(func() {
		top := checkout(tb)
		build.path = filepath.Join(top, ".cache", "bin", "vaultserver")
		tb.Log("building internal/e2e/vaultserver: about 4 minutes the first time, then 2 seconds")
		build.out, build.err = goBuild(filepath.Join(top, "internal", "e2e", "vaultserver"), build.path)
	})
	if build.err != nil {
		tb.Fatalf("building internal/e2e/vaultserver: %v\n%s", build.err, build.out)
	}
	return build.path
}

// goBuild builds one program at a time, of all test processes: two that start together would both compile all of Vault.
func goBuild(dir, to string) (out []byte, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(to+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "build", "-o", to, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	return cmd.CombinedOutput()
}

// checkout returns the folder that has go.work, above the tested package.
func checkout(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
	}
	tb.Fatal("the tests do not run in a checkout of rowseal: no folder above has go.work")
	return ""
}
