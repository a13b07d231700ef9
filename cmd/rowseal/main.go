// Command rowseal is the command line of rowseal: per-record envelope encryption for database rows. `rowseal help` lists what
// it can do, and `rowseal demo` shows it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)   // a second Ctrl-C ends the program where it stands
	signal.Ignore(syscall.SIGPIPE) // a reader that went away, as head does, is an error of writing: what was done is told
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
