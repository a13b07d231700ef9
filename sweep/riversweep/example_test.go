package riversweep_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
	"github.com/rowseal/rowseal/sweep/riversweep"
)

type User struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// newFleet is called by every process of the fleet.
func newFleet(db *sqlseal.DB, users *rowseal.Model[User]) (*riversweep.Fleet, error) {
	bucket, err := riversweep.NewBucket(db, "vault/users", 50) // requests a second, of all machines together
	if err != nil {
		return nil, err
	}
	return &riversweep.Fleet{Sweeps: map[string]riversweep.Sweep{
		"rewrap users": {
			DB:      db,
			Rows:    users.Rows(),
			Step:    func(json.RawMessage) (sweep.Step, error) { return &sweep.RewrapStep{}, nil },
			Options: sweep.Options{Pacer: bucket},
		},
	}}, nil
}

// rotate is called once, by whichever process.
func rotate(ctx context.Context, fleet *riversweep.Fleet, client riversweep.Client) error {
	if _, err := fleet.Start(ctx, client, "rewrap users", 16, nil); err != nil {
		return err
	}
	status, err := fleet.Status(ctx, client, "rewrap users")
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d of about %d rows\n", status.State, status.Rows, status.Estimate)
	return nil
}

func Example() {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)}) // give it your KMS
	if err != nil {
		fmt.Println(err)
		return
	}
	users, err := rowseal.NewModel[User]("users", ring, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fleet, err := newFleet(sqlseal.SQL(sqlseal.PostgreSQL, new(sql.DB)), users) // give it the database
	if err != nil {
		fmt.Println(err)
		return
	}
	workers := river.NewWorkers()
	fleet.AddTo(workers) // then river.NewClient with these Workers, and Start

	job, _ := json.Marshal(riversweep.Args{Sweep: "rewrap users", Part: 1, Parts: 16})
	fmt.Println(string(job))
	_ = rotate
	// Output: {"sweep":"rewrap users","part":1,"parts":16}
}
