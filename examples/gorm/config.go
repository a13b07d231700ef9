package main

import (
	"cmp"
	"fmt"
	"os"
)

// config is what the environment says.
type config struct {
	DatabaseURL string // DATABASE_URL of PostgreSQL: postgres://…
	KMSKeyID    string // KMS_KEY_ID: local/customers, vault/customers, …
	IndexKey    string // INDEX_KEY, of the blind index: 64 hex digits
	Ledger      string // LEDGER, a file in which stands who opened what; none unless set
	Listen      string // LISTEN: host and port, localhost:8080 unless set
}

func configFromEnv() (config, error) {
	for _, name := range []string{"DATABASE_URL", "KMS_KEY_ID", "INDEX_KEY"} {
		if os.Getenv(name) == "" {
			return config{}, fmt.Errorf("set %s in the environment", name)
		}
	}
	return config{
		DatabaseURL: os.Getenv("DATABASE_URL"),
		KMSKeyID:    os.Getenv("KMS_KEY_ID"),
		IndexKey:    os.Getenv("INDEX_KEY"),
		Ledger:      os.Getenv("LEDGER"),
		Listen:      cmp.Or(os.Getenv("LISTEN"), "localhost:8080"),
	}, nil
}
