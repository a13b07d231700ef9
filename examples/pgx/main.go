package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
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
	customers, err := newCustomers(ctx, config)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, config.DatabaseURL, customers)
	if err != nil {
		return err
	}
	defer store.close()
	if err := store.check(ctx, nil); err != nil { // what is missing, column or right, shows now
		return err
	}
	return serve(ctx, config.Listen, routes(store))
}
