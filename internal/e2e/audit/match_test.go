package audit_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
)

const mayOpen = `path "transit/encrypt/users" { capabilities = ["update"] }
path "transit/decrypt/users" { capabilities = ["update"] }`

// TestTheRealLogAndTheLedgerTellTheSame: calls of all kinds, in batches with bad rows among them, are in both logs by record; what is
// opened past the application is found, and named.
func TestTheRealLogAndTheLedgerTellTheSame(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		s.Key(t, "users", true)
		ledgerPath := filepath.Join(t.TempDir(), "ledger")
		ledger, err := audit.OpenLedger(ledgerPath, &audit.LedgerOptions{OnError: func(err error) { t.Error(err) }})
		must(t, err)
		defer ledger.Close()
		key := newKey(t, s, s.Token(t, mayOpen), ledger)
		denied := newKey(t, s, s.Token(t, `path "transit/encrypt/users" { capabilities = ["update"] }`), ledger)

		var items []kms.Item
		for _, id := range []string{"1", "2", "3", "4", "5"} {
			items = append(items, kms.Item{Data: []byte("data key"), Context: user(id)})
		}
		for i, r := range key.EncryptBatch(t.Context(), items) {
			must(t, r.Err)
			items[i].Data = r.Data
		}
		key.DecryptBatch(t.Context(), items)
		key.DecryptBatch(t.Context(), items[:1])
		key.DecryptBatch(t.Context(), items[:1])
		bad := append([]kms.Item{}, items...)
		bad[2].Context = user("4") // a row under another's name
		key.DecryptBatch(t.Context(), bad)
		key.Decrypt(t.Context(), items[0].Data, user("2"))
		must(t, key.CheckDecrypt(t.Context(), user("1")))
		denied.Decrypt(t.Context(), items[0].Data, user("1"))
		var rewraps []kms.RewrapItem
		for _, it := range items {
			rewraps = append(rewraps, kms.RewrapItem{Item: it, To: it.Context})
		}
		newKey(t, s, s.Root.Token(), ledger).RewrapBatch(t.Context(), rewraps)

		compare := func() (unexplained, unlogged []audit.Event) {
			m, names := &audit.Matcher{}, &audit.Names{}
			for _, e := range events(t, ledgerPath) {
				must(t, names.Learn(t.Context(), device(t, s, "file"), nil, e.Context))
				m.Application(e)
			}
			for _, e := range events(t, log.Path) {
				if e = names.Resolve(e); !m.Explains(e) {
					unexplained = append(unexplained, e)
				}
			}
			return unexplained, m.Unlogged()
		}
		if unexplained, unlogged := compare(); len(unexplained) != 0 || len(unlogged) != 0 {
			t.Fatalf("unexplained %+v, unlogged %+v", unexplained, unlogged)
		}

		// past the application: as the gem sends it, and by hand in one line
		_, err = newKey(t, s, s.Root.Token()).Decrypt(t.Context(), items[3].Data, user("4"))
		must(t, err)
		s.Write(t, "transit/decrypt/users", map[string]any{"ciphertext": string(items[4].Data),
			"context": "eyJtb2RlbF9pZCI6IjUiLCJtb2RlbF9uYW1lIjoiVXNlciJ9"})
		unexplained, unlogged := compare()
		var who []string
		for _, e := range unexplained {
			who = append(who, e.Record()+" by "+e.Principal)
		}
		if got := strings.Join(who, ", "); got != "User 4 by root, User 5 by root" || len(unlogged) != 0 {
			t.Errorf("unexplained: %s; unlogged: %v", got, unlogged)
		}
	})
}

func TestTheRealLogTellsWhoChangedAKey(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		s.Key(t, "users", true)
		s.Rotate(t, "users")
		s.Backup(t, "users")
		s.Write(t, "sys/policies/acl/other", map[string]any{"policy": mayOpen})
		var actions []string
		for _, e := range events(t, log.Path) {
			if e.Op == audit.OpManage {
				actions = append(actions, e.Action)
			}
		}
		want := "update transit/keys/users, update transit/keys/users/rotate, update transit/keys/users/config, " +
			"read transit/backup/users, update sys/policies/acl/other"
		if got := strings.Join(actions, ", "); !strings.HasSuffix(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

// TestWhatACallerAddsHidesNoRecord asks the real server with members that it does not know, or knows in another case: whatever it opens,
// the log names the record that was opened.
func TestWhatACallerAddsHidesNoRecord(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		s.Key(t, "users", true)
		sealed, err := newKey(t, s, s.Root.Token()).Encrypt(t.Context(), []byte("data key"), user("1"))
		must(t, err)
		right, err := kms.Item{Context: user("1")}.ContextMIME()
		must(t, err)
		wrong, err := kms.Item{Context: user("2")}.ContextMIME()
		must(t, err)
		want, err := audit.ContextHash(t.Context(), device(t, s, "file"), user("1"), nil)
		must(t, err)
		opened := 0
		for _, data := range []map[string]any{
			{"ciphertext": string(sealed), "context": right, "Context": wrong, "CONTEXT": wrong, "Batch_Input": []any{map[string]any{"context": wrong}}},
			{"ciphertext": string(sealed), "context": right, "BATCH_INPUT": []any{map[string]any{}}},
			{"batch_input": []any{map[string]any{"ciphertext": string(sealed), "context": right, "Context": wrong}}, "context": wrong},
			{"batch_input": []any{map[string]any{"ciphertext": string(sealed), "Context": right}}},
			{"batch_input": []any{map[string]any{"ciphertext": string(sealed), "CONTEXT": wrong, "context": right, "cONTEXT": wrong}}},
		} {
			if answer, err := s.Root.Logical().Write("transit/decrypt/users", data); err == nil && answer != nil {
				opened++
			}
		}
		found := opens(events(t, log.Path))
		if opened < 3 || len(found) != opened {
			t.Errorf("%d opened, and the log has %d", opened, len(found))
		}
		for _, e := range found {
			if e.ContextHash != want {
				t.Errorf("the log names another record: %+v", e)
			}
		}
	})
}
