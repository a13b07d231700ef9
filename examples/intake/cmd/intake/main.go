// Command intake takes in applications and seals them. It can read none of them, not even those that it has just taken in: its
// user of the KMS may encrypt only.
package main

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/rowseal/rowseal/examples/intake/internal/applications"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(); err != nil {
		slog.Error("stopped", "err", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := configFromEnv()
	if err != nil {
		return err
	}
	sealer, err := applications.Sealer(ctx, config.KMSKeyID)
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", config.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	inbox := newInbox(db, sealer)
	if err := inbox.check(ctx, nil); err != nil {
		return err
	}
	return serve(ctx, config.Listen, routes(inbox))
}
