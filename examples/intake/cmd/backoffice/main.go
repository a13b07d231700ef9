// Command backoffice shows applications to those who decide on them. It writes nothing: its user of the KMS may decrypt only, and
// its user of the database may only read.
//
//	backoffice list       what has come in; opens nothing
//	backoffice show ID…   opens these in one batch, which the KMS logs by row
//	backoffice check      tells what is missing: columns, rights
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/examples/intake/internal/applications"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "backoffice:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	for _, name := range []string{"DATABASE_URL", "KMS_KEY_ID"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("set %s in the environment", name)
		}
	}
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	key, err := kms.Open(ctx, os.Getenv("KMS_KEY_ID"), nil)
	if err != nil {
		return err
	}
	model, err := applications.Model(key)
	if err != nil {
		return err
	}
	office := &office{db, model}
	switch {
	case len(args) == 1 && args[0] == "list":
		return office.list(ctx, os.Stdout)
	case len(args) > 1 && args[0] == "show":
		return office.show(ctx, os.Stdout, os.Stderr, args[1:])
	case len(args) == 1 && args[0] == "check":
		return model.Check(ctx, sqlseal.SQL(sqlseal.PostgreSQL, db), &rowseal.CheckOptions{OpenOnly: true})
	}
	return errors.New("usage: backoffice list | show ID… | check")
}
