package vaulttest

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	patience = time.Minute      // for a server to start
	grace    = 10 * time.Second // for one to end by itself
)

// run starts a server that ends when its standard input does, which the system closes whatever becomes of this process, and
// waits until one of its lines says that it serves. What it says later is in tb's log. It ends with tb.
func run(tb testing.TB, home string, serves func(line string) bool, program string, args ...string) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	output := start(ctx, tb, home, program, args...)
	var said strings.Builder
	served, ended := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewReader(output)
		served <- readUntil(lines, serves, &said)
		io.Copy(tb.Output(), lines)
	}()
	tb.Cleanup(func() { cancel(); <-ended })
	late := time.AfterFunc(patience, cancel)
	defer late.Stop()
	if !<-served {
		tb.Fatalf("%s did not serve within %v, or ended:\n%s", program, patience, said.String())
	}
}

// start returns what the program prints, which ends when it does. Of this process's environment, it gets the PATH.
func start(ctx context.Context, tb testing.TB, home, program string, args ...string) io.Reader {
	tb.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Cancel, cmd.WaitDelay = stdin.Close, grace
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		cmd.Wait()
		w.Close()
	}()
	return r
}

// readUntil reads up to the line that says so, and keeps the lines before it.
func readUntil(lines *bufio.Reader, saysSo func(line string) bool, before *strings.Builder) bool {
	for {
		line, err := lines.ReadString('\n')
		if saysSo(strings.TrimSuffix(line, "\n")) {
			return true
		}
		before.WriteString(line)
		if err != nil {
			return false
		}
	}
}
