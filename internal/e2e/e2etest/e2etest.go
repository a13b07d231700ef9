// Package e2etest is what the tests of several services share.
package e2etest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// NoGoroutineStays fails the test if, after everything that it registers later has been cleaned up, there are more
// goroutines than now.
func NoGoroutineStays(tb testing.TB) {
	tb.Helper()
	before := Goroutines()
	tb.Cleanup(func() { Settle(tb, before) })
}

// Goroutines returns how many goroutines there are.
func Goroutines() int { return len(goroutines()) }

// Settle waits until there are no more goroutines than before, and fails the test if that does not come.
func Settle(tb testing.TB, before int) {
	tb.Helper()
	for late := time.Now().Add(20 * time.Second); Goroutines() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			tb.Fatalf("there were %d goroutines, and now there are:\n%s", before, strings.Join(goroutines(), "\n\n"))
		}
	}
}

// goroutines returns the stacks of all goroutines but those of toxiproxy, which leaves some behind.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool { return strings.Contains(stack, "toxiproxy") })
}

// NobodyListens returns a host and port where connections are refused.
func NobodyListens(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Printed returns a value in every form in which programs print values: all verbs of fmt, log/slog and encoding/json.
func Printed(v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", []any{v, &v})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("v", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("v", "v", v)
	if b, err := json.Marshal(v); err == nil {
		out.Write(b)
	}
	return out.String()
}
