package vault_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
)

var operations = []string{"encrypt", "decrypt", "rewrap"}

// hashes returns the context's hash of every row that the log names for one operation, and those of requests for one row.
func hashes(t *testing.T, log *vaulttest.AuditLog, operation string) (found []any) {
	t.Helper()
	for _, e := range log.Requests(t, "transit/"+operation+"/my-key") {
		for _, row := range append(e.Request.Items(), e.Request.Data) {
			if hash, ok := row["context"]; ok {
				found = append(found, hash)
			}
		}
	}
	return found
}

func TestARecordHasOneContextHashWhoeverSealedIt(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		ring := newRing(t, rowseal.Version{Number: 1, Key: gemKey(t, s)})
		row := railsUsers(t)[0]
		ec := kms.Context{"model_name": "User", "model_id": strconv.FormatInt(row.ID, 10)}

		byRuby := row.EncryptedKMSKey.Wrapped()
		dataKey, err := ring.Decrypt(t.Context(), byRuby, ec)
		must(t, err)
		byUs, err := ring.Encrypt(t.Context(), dataKey, ec)
		must(t, err)
		_, err = ring.Decrypt(t.Context(), byUs, ec)
		must(t, err)
		_, err = ring.Rewrap(t.Context(), byRuby, ec, ec)
		must(t, err)

		asTheGemSends := base64.StdEncoding.EncodeToString([]byte(`{"model_id":"1","model_name":"User"}`)) + "\n"
		want := log.Hash(t, asTheGemSends)
		for operation, n := range map[string]int{"encrypt": 1, "decrypt": 2, "rewrap": 1} {
			if got := hashes(t, log, operation); !slices.Equal(got, slices.Repeat([]any{want}, n)) {
				t.Errorf("%s: the log has %v, want %d times %s", operation, got, n, want)
			}
		}
		wantNowhere(t, log, dataKey)
	})
}

func TestContextHashesAreThoseOfTheTextThatTheGemSends(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		key := gemKey(t, s)
		plaintext := []byte("a data key of which nothing may be in the log")
		want := []any{}
		for _, g := range gemContexts(t) {
			ring := newRing(t, rowseal.Version{Number: 1, Key: key, Encoding: g.encoding()})
			wrapped, err := ring.Encrypt(t.Context(), plaintext, g.context())
			must(t, err)
			wrapped, err = ring.Rewrap(t.Context(), wrapped, g.context(), g.context())
			must(t, err)
			_, err = ring.Decrypt(t.Context(), wrapped, g.context())
			must(t, err)
			want = append(want, log.Hash(t, g.Base64))
		}
		for _, operation := range operations {
			if got := hashes(t, log, operation); !slices.Equal(got, want) {
				t.Errorf("%s: the log has %v, want %v", operation, got, want)
			}
		}
		wantNowhere(t, log, plaintext)
	})
}

func TestOneAuditLineNamesAllRowsOfABatch(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		key := gemKey(t, s)
		items, want := make([]kms.Item, 100), []any{}
		for i := range items {
			ec := kms.Context{"model_name": "User", "model_id": strconv.Itoa(i)}
			sent := base64.StdEncoding.EncodeToString([]byte(`{"model_id":"`+strconv.Itoa(i)+`","model_name":"User"}`)) + "\n"
			items[i] = kms.Item{Data: bytes.Repeat([]byte{byte(i)}, 32), Context: ec}
			want = append(want, log.Hash(t, sent))
		}
		var rewraps []kms.RewrapItem
		for i, r := range key.EncryptBatch(t.Context(), items) {
			must(t, r.Err)
			items[i].Data = r.Data
			rewraps = append(rewraps, kms.RewrapItem{Item: items[i], To: items[i].Context})
		}
		for _, r := range slices.Concat(key.DecryptBatch(t.Context(), items), key.RewrapBatch(t.Context(), rewraps)) {
			must(t, r.Err)
		}
		for _, operation := range operations {
			lines := log.Requests(t, "transit/"+operation+"/my-key")
			if n := len(lines); n == 0 || len(lines[n-1].Request.Items()) != len(items) {
				t.Errorf("%s: the last of %d lines does not have %d rows", operation, n, len(items))
			}
			if got := hashes(t, log, operation); !slices.Equal(got, want) {
				t.Errorf("%s: the log names %d rows, or others than the %d of the batch", operation, len(got), len(want))
			}
		}
	})
}

// wantNowhere tells that the log has a plaintext neither as it is nor as the API sends it.
func wantNowhere(t *testing.T, log *vaulttest.AuditLog, plaintext []byte) {
	t.Helper()
	for _, form := range [][]byte{plaintext, []byte(base64.StdEncoding.EncodeToString(plaintext))} {
		if bytes.Contains(log.Text(t), form) {
			t.Error("the audit log has the plaintext")
		}
	}
}
