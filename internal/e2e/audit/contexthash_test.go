// Package audit_test reads real logs: what the real Vault writes about real services.
package audit_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T, s *vaulttest.Server, token string, observers ...kms.Observer) *kms.Key {
	t.Helper()
	service, err := vaultkms.New("users", &vaultkms.Options{Client: s.Client(t, token)})
	must(t, err)
	return kms.NewKey(service, &kms.KeyOptions{Observers: observers})
}

func device(t *testing.T, s *vaulttest.Server, path string) *vaultkms.AuditDevice {
	t.Helper()
	d, err := vaultkms.NewAuditDevice(path, &vaultkms.Options{Client: s.Root})
	must(t, err)
	return d
}

func user(id string) kms.Context { return kms.Context{"model_name": "User", "model_id": id} }

// events reads a log whole; entries that cannot be read fail the test.
func events(t *testing.T, path string) []audit.Event {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	r := audit.NewReader(path, f)
	var all []audit.Event
	for {
		e, err := r.Next()
		if err != nil {
			if stats := r.Stats(); stats.Malformed > 0 || stats.Events != len(all) {
				t.Errorf("%s: %+v", path, stats)
			}
			return all
		}
		all = append(all, e)
	}
}

// opens are the events that may have shown a data key.
func opens(all []audit.Event) (some []audit.Event) {
	for _, e := range all {
		if e.Opened() {
			some = append(some, e)
		}
	}
	return some
}

func TestContextHashFindsARowInTheRealLog(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		log := s.Audit(t)
		s.Key(t, "users", true)
		key := newKey(t, s, s.Root.Token())
		var sealed [][]byte
		for _, id := range []string{"1", "2"} {
			b, err := key.Encrypt(t.Context(), []byte("data key"), user(id))
			must(t, err)
			sealed = append(sealed, b)
		}
		_, err := key.Decrypt(t.Context(), sealed[1], user("2"))
		must(t, err)

		hash, err := audit.ContextHash(t.Context(), device(t, s, "file"), user("2"), nil)
		must(t, err)
		found := opens(events(t, log.Path))
		if len(found) != 1 || found[0].ContextHash != hash || found[0].KeyID != "vault/users" {
			t.Errorf("the log has %+v, the hash is %s", found, hash)
		}
		if other, err := audit.ContextHash(t.Context(), device(t, s, "file"), user("2"), kms.OrderedJSON(
			kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true})); err != nil || other == hash {
			t.Errorf("another encoding has the hash %s, %v", other, err)
		}
	})
}

func TestContextHashSaysWhatIsWrong(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Audit(t)
		ask := func(d *vaultkms.AuditDevice, c kms.Context) error {
			_, err := audit.ContextHash(t.Context(), d, c, nil)
			return err
		}
		nobody, err := vaultkms.NewAuditDevice("file", &vaultkms.Options{Client: s.Client(t, s.Token(t, `path "sys/x" { capabilities = ["read"] }`))})
		must(t, err)
		for what, test := range map[string]struct {
			err  error
			is   error
			says string
		}{
			"no such device": {ask(device(t, s, "syslog"), user("1")), kms.ErrInvalidRequest, "sys/audit-hash/syslog"},
			"no right":       {ask(nobody, user("1")), kms.ErrAccessDenied, "sys/audit-hash/file"},
			"no context":     {ask(device(t, s, "file"), nil), kms.ErrInvalidRequest, "no context"},
		} {
			if !errors.Is(test.err, test.is) || !strings.Contains(test.err.Error(), test.says) {
				t.Errorf("%s: %v", what, test.err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		if _, err := audit.ContextHash(ctx, device(t, s, "file"), user("1"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	for _, path := range []string{"", "/", "a?b", "../x"} {
		if _, err := vaultkms.NewAuditDevice(path, nil); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
