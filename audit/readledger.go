package audit

import (
	"errors"
	"fmt"
	"time"
)

// readLedger reads an entry of a ledger. Whether it is as it was written is for a Verifier.
func readLedger(line []byte) ([]Event, bool) {
	entry, err := parseEntry(line)
	if err != nil && !errors.Is(err, errHash) {
		return nil, false
	}
	events := make([]Event, len(entry.Records))
	for i, r := range entry.Records {
		events[i] = Event{
			Time: entry.Time, Source: LedgerFile, Op: entry.Op, Action: string(entry.Op), Outcome: OK, Error: r.Error,
			KeyID: entry.KeyID, KeyVersion: r.KeyVersion, Principal: entry.Actor, Purpose: entry.Purpose,
			Context: r.Context, To: r.To, Request: fmt.Sprintf("ledger %d", entry.Seq), Attempts: r.Attempts,
			Duration: time.Duration(entry.Duration) * time.Microsecond,
		}
		if r.Error != "" {
			events[i].Outcome = Failed
		}
	}
	return events, true
}
