package rowseal_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// TestDataKeysAreOverwrittenAfterUse watches the very bytes that went to the KMS and came from it.
func TestDataKeysAreOverwrittenAfterUse(t *testing.T) {
	var keys [][]byte
	fake := &kmstest.Fake{BatchSize: 10}
	fake.Fault = func(r kmstest.Request, it kms.Item) error {
		if r.Op == kms.OpEncrypt {
			keys = append(keys, it.Data)
		}
		return nil
	}
	fake.After = func(_ context.Context, r kmstest.Request, results []kms.Result) []kms.Result {
		for _, result := range results {
			if r.Op == kms.OpDecrypt {
				keys = append(keys, result.Data)
			}
		}
		return results
	}
	users := usersOf(t, fake)
	row := sealed(t, users, newUser(1, "ada"))
	must(t, users.Open(t.Context(), load[user](t, 1, row)))
	if len(keys) != 4 {
		t.Fatalf("saw %d data keys, want 2 sealed and 2 opened", len(keys))
	}
	for i, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, make([]byte, 32)) {
			t.Errorf("data key %d is still there", i)
		}
	}
}
