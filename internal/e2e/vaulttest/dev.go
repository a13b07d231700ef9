package vaulttest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// untilEOF runs a server, which would outlive this process, until its own standard input ends.
const untilEOF = `exec 3<&0
"$@" &
server=$!
(cat <&3; kill -9 $server) >/dev/null 2>&1 &
exec 2>/dev/null
wait $server`

// startDev starts the program of OpenBao or Vault in dev mode: in memory, on a port of its own, with a home of its own.
func startDev(tb testing.TB, path string) *Server {
	tb.Helper()
	s := &Server{Name: path, dir: tb.TempDir()}
	address := freeAddress(tb)
	args := []string{"server", "-dev", "-dev-no-store-token", "-log-level=error", "-dev-listen-address=" + address}
	if filepath.Base(path) == "bao" {
		args = append(args, "-config="+auditConfig(tb, s.dir))
	}
	var rootToken string
	run(tb, s.dir, func(line string) bool {
		if key, ok := strings.CutPrefix(line, "Unseal Key: "); ok {
			s.unsealKey = key
		}
		token, ok := strings.CutPrefix(line, "Root Token: ")
		rootToken = token
		return ok
	}, "sh", append([]string{"-c", untilEOF, "sh", path}, args...)...)
	s.Address = "http://" + address
	s.use(tb, rootToken)
	return s
}

// auditConfig is what OpenBao needs for audit devices to be made by its API, which is not its custom.
func auditConfig(tb testing.TB, dir string) string {
	tb.Helper()
	name := filepath.Join(dir, "audit.hcl")
	if err := os.WriteFile(name, []byte("unsafe_allow_api_audit_creation = true\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
