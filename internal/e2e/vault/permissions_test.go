package vault_test

import (
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
)

func TestASealOnlyTokenSealsAndCannotOpen(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		sealer, opener := app.with(t, "seal"), app.with(t, "open")
		u := user{ID: 1}
		u.Email.Set("ada@example.org")
		must(t, sealer.Seal(t.Context(), &u))
		app.insert(t, u)

		u = app.load(t, 1)
		wantErr(t, "to open with it", sealer.Open(t.Context(), &u), kms.ErrAccessDenied)
		wantErr(t, "to rewrap with it", sealer.Rewrap(t.Context(), &u), kms.ErrAccessDenied)
		u.Email.Set("countess@example.org")
		wantErr(t, "to seal under the data key that the row has", sealer.Seal(t.Context(), &u), kms.ErrAccessDenied)

		u = app.load(t, 1)
		must(t, opener.Open(t.Context(), &u))
		wantValue(t, u.Email, "ada@example.org")
	})
}

func TestASealOnlyTokenUpdatesARowByClearingItFirst(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		app.insertSealed(t, 1)
		sealer, opener := app.with(t, "seal"), app.with(t, "open")
		u := app.load(t, 1)
		sealer.Clear(&u)
		u.Email.Set("countess@example.org")
		must(t, sealer.Seal(t.Context(), &u))
		app.update(t, u)

		u = app.load(t, 1)
		must(t, opener.Open(t.Context(), &u))
		wantValue(t, u.Email, "countess@example.org")
		if !u.Notes.IsNull() {
			t.Error("the notes, which were not set again, are not NULL")
		}
	})
}

func TestAnOpenOnlyTokenOpensAndCannotSeal(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		app.insertSealed(t, 1)
		opener := app.with(t, "open")
		u := app.load(t, 1)
		must(t, opener.Open(t.Context(), &u))
		wantValue(t, u.Email, "ada@example.org")
		wantValue(t, u.Notes, "notes on the engine")

		wantErr(t, "to rewrap with it", opener.Rewrap(t.Context(), &u), kms.ErrAccessDenied)
		opener.Clear(&u)
		u.Email.Set("countess@example.org")
		wantErr(t, "to seal with it", opener.Seal(t.Context(), &u), kms.ErrAccessDenied)
	})
}

func TestARotateTokenRewrapsAndCanNeitherSealNorOpen(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		app.insertSealed(t, 1)
		s.Rotate(t, keyName)
		rotator, opener := app.with(t, "rotate"), app.with(t, "open")
		u := app.load(t, 1)
		wantVaultVersion(t, u.EncryptedKMSKey, "v1")
		must(t, rotator.Rewrap(t.Context(), &u))
		app.update(t, u)

		u = app.load(t, 1)
		wantVaultVersion(t, u.EncryptedKMSKey, "v2")
		wantErr(t, "to open with it", rotator.Open(t.Context(), &u), kms.ErrAccessDenied)
		must(t, opener.Open(t.Context(), &u))
		wantValue(t, u.Email, "ada@example.org")

		rotator.Clear(&u)
		u.Email.Set("countess@example.org")
		wantErr(t, "to seal with it", rotator.Seal(t.Context(), &u), kms.ErrAccessDenied)
	})
}

// The mistake is made everywhere, in the policy too: a policy for the right key would refuse the wrong one anyway.
func TestAMistypedKeyNameMakesNoKey(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		app.insertSealed(t, 1)
		before := s.Keys(t)
		u := user{ID: 2}
		u.Email.Set("ada@example.org")
		wantErr(t, "to seal", app.withKey(t, "uzers", policy(t, "vault/uzers", "seal")).Seal(t.Context(), &u), kms.ErrAccessDenied)
		u = app.load(t, 1)
		wantErr(t, "to open", app.withKey(t, "uzers", policy(t, "vault/uzers", "open")).Open(t.Context(), &u), kms.ErrKeyNotFound)
		wantErr(t, "to rewrap", app.withKey(t, "uzers", policy(t, "vault/uzers", "rotate")).Rewrap(t.Context(), &u), kms.ErrKeyNotFound)
		if after := s.Keys(t); !slices.Equal(before, after) {
			t.Errorf("the server had the keys %q and has %q", before, after)
		}
	})
}

// This is why policies grant "update" alone: what we send makes no key even so, but what others send, such as the gem, does.
func TestTheRightToCreateMakesAKeyOfAMistypedName(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		app := newApp(t, s)
		create := strings.Replace(policy(t, "vault/uzers", "seal"), `["update"]`, `["create", "update"]`, 1)
		u := user{ID: 2}
		u.Email.Set("ada@example.org")
		wantErr(t, "to seal", app.withKey(t, "uzers", create).Seal(t.Context(), &u), kms.ErrKeyNotFound)
		if slices.Contains(s.Keys(t), "uzers") {
			t.Error("we have made the key uzers")
		}
		other := s.Client(t, s.Token(t, create))
		_, err := other.Logical().Write("transit/encrypt/uzers", map[string]any{"plaintext": "", "context": "e30="})
		if !slices.Contains(s.Keys(t), "uzers") {
			t.Errorf("another client has not made the key uzers: %v", err)
		}
	})
}

// policy is what `rowseal policy` prints for one right: "seal", "open" or "rotate".
func policy(t *testing.T, keyID, right string) string {
	t.Helper()
	printed, known := policies.Load(keyID + right)
	if !known {
		cmd := exec.Command("go", "run", ".", "policy", "--key-id", keyID, "--"+right)
		cmd.Dir = "../../../cmd/rowseal"
		cmd.Stderr = t.Output()
		out, err := cmd.Output()
		must(t, err)
		printed = string(out)
		policies.Store(keyID+right, printed)
	}
	return printed.(string)
}

var policies sync.Map // so that the command runs once for each
