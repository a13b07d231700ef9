package main

import (
	"cmp"
	"fmt"
	"os"
)

// config is what the environment says.
type config struct {
	DatabaseURL string // DATABASE_URL of PostgreSQL: postgres://intake@…
	KMSKeyID    string // KMS_KEY_ID: vault/applications, …
	Listen      string // LISTEN: host and port, localhost:8080 unless set
}

func configFromEnv() (config, error) {
	for _, name := range []string{"DATABASE_URL", "KMS_KEY_ID"} {
		if os.Getenv(name) == "" {
			return config{}, fmt.Errorf("set %s in the environment", name)
		}
	}
	return config{
		DatabaseURL: os.Getenv("DATABASE_URL"),
		KMSKeyID:    os.Getenv("KMS_KEY_ID"),
		Listen:      cmp.Or(os.Getenv("LISTEN"), "localhost:8080"),
	}, nil
}
