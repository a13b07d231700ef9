// Package userspgx is what sqlc makes of schema.sql and query.sql for pgx.
package userspgx

import (
	"time"

	"github.com/rowseal/rowseal"
)

// SealedTime is an alias, which has the methods of what it names; sqlc would not import time.
type SealedTime = rowseal.Sealed[time.Time]
