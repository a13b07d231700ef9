package vault_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
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
		row := railsRows(t)[0]
		ec := kms.Context{"model_name": "User", "model_id": fmt.Sprint(row["id"])}

		byRuby := row["encrypted_kms_key"].(string)
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

// As docs/vault.md says: where a row of a batch fails, the answer is in the log as one hash, except for rewraps.
func TestTheLogOfABatchWithABadRowTellsWhichRowsWereAskedFor(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		key := gemKey(t, s)
		row := func(i int) kms.Context { return kms.Context{"model_id": strconv.Itoa(i)} }
		hash := func(i int) string {
			return log.Hash(t, base64.StdEncoding.EncodeToString([]byte(`{"model_id":"`+strconv.Itoa(i)+`"}`))+"\n")
		}
		var rewraps []kms.RewrapItem
		for i := range 3 {
			sealed, err := key.Encrypt(t.Context(), []byte("a data key"), row(i))
			must(t, err)
			rewraps = append(rewraps, kms.RewrapItem{Item: kms.Item{Data: sealed, Context: row(i)}, To: row(i)})
		}
		rewraps[1].Context, rewraps[1].To = row(9), row(9)
		items := []kms.Item{rewraps[0].Item, rewraps[1].Item, rewraps[2].Item}
		for operation, results := range map[string][]kms.Result{
			"decrypt": key.DecryptBatch(t.Context(), items),
			"rewrap":  key.RewrapBatch(t.Context(), rewraps),
		} {
			for i, r := range results {
				want := map[int]error{1: kms.ErrDecryptionFailed}[i]
				wantErr(t, operation, r.Err, want)
			}
			if got, want := hashes(t, log, operation), []any{hash(0), hash(9), hash(2)}; !slices.Equal(got, want) {
				t.Errorf("%s: the log says that %v were asked for, want %v", operation, got, want)
			}
			answers := log.Responses(t, "transit/"+operation+"/my-key")
			answer := answers[len(answers)-1]
			if operation == "rewrap" {
				failed := answer.Response.Items()[1]["error"]
				if failed != log.Hash(t, "cipher: message authentication failed") {
					t.Errorf("rewrap: the log says that row 1 had %v", failed)
				}
				continue
			}
			if len(answer.Response.Items()) != 0 || answer.Response.Data["http_raw_body"] == nil || answer.Response.Data["http_status_code"] != 400.0 {
				t.Errorf("decrypt: the log has %v", answer.Response.Data)
			}
		}
	})
}

func TestTheQuestionIsInTheLogAsDocumented(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		s.Key(t, "users", true)
		must(t, encrypt(t, service(t, "users", s.Root)))
		asked, answered := log.Requests(t, "transit/encrypt/users"), log.Responses(t, "transit/encrypt/users")
		if len(asked) != 2 || len(answered) != 2 {
			t.Fatalf("the log has %d requests and %d answers, want the question and one", len(asked), len(answered))
		}
		question, answer := asked[0].Request.Items(), answered[0]
		if len(question) != 1 || question[0]["context"] != nil || question[0]["plaintext"] != log.Hash(t, harmless) {
			t.Errorf("the question is %v", question)
		}
		if answer.Error != "" || answer.Response.Data["http_status_code"] != 400.0 || answer.Response.Data["http_raw_body"] == nil {
			t.Errorf("the answer is %q, %v", answer.Error, answer.Response.Data)
		}
	})
}

// harmless is what docs/vault.md says that the question encrypts, as the API has it.
var harmless = base64.StdEncoding.EncodeToString([]byte("rowseal: is this key derived?"))

func TestALookUpPutsItsHashIntoTheLog(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		hash := log.Hash(t, "a context")
		lookUps := log.Requests(t, "sys/audit-hash/file")
		if len(lookUps) != 1 || lookUps[0].Request.Data["input"] != hash {
			t.Errorf("the log has %v", lookUps)
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
