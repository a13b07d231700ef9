package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"sync"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// ledgerVariable names the file into which every command that uses a KMS key writes what it does, so that nobody who compares the KMS's
// log with the applications' ledgers wonders who that was.
const ledgerVariable = "ROWSEAL_LEDGER"

type ledgerKey struct{}

// ledger is opened when a command first needs a key.
type ledger struct {
	once sync.Once
	file *audit.Ledger
	err  error
}

func withLedger(ctx context.Context) (context.Context, *ledger) {
	l := &ledger{}
	return context.WithValue(ctx, ledgerKey{}, l), l
}

func (l *ledger) close() {
	if l.file != nil {
		_ = l.file.Close() // each line is in the file already
	}
}

// recorded adds the ledger to the observers of a key, if there is to be one.
func recorded(cmd *cobra.Command, opts *kms.KeyOptions) (*kms.KeyOptions, error) {
	path := os.Getenv(ledgerVariable)
	l, ok := cmd.Context().Value(ledgerKey{}).(*ledger)
	if path == "" || !ok {
		return opts, nil
	}
	l.once.Do(func() {
		l.file, l.err = audit.OpenLedger(path, &audit.LedgerOptions{OnError: func(err error) {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", wording(err))
		}})
	})
	if l.err != nil {
		return nil, fmt.Errorf("$%s: %w", ledgerVariable, l.err)
	}
	var own kms.KeyOptions
	if opts != nil {
		own = *opts
	}
	who, why := operator(), cmd.CommandPath()
	write := kms.ObserverFunc(func(ctx context.Context, e kms.Event) { l.file.Observe(audit.WithActor(ctx, who, why), e) })
	own.Observers = append(own.Observers[:len(own.Observers):len(own.Observers)], write)
	return &own, nil
}

// operator is the user of the system who runs the command.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
