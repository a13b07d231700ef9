package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
)

const vaultKey = "vault/my-key"

// vault is a server with a derived key, to which rights are given as rowseal policy says.
type vault struct{ *vaulttest.Server }

func eachVault(t *testing.T, test func(t *testing.T, v vault)) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "my-key", true)
		test(t, vault{s})
	})
}

// with returns a shell whose token has these rights, by policies of the names that rowseal policy proposes.
func (v vault) with(t *testing.T, rights ...string) shell {
	t.Helper()
	var policies []string
	for _, right := range rights {
		policies = append(policies, v.grant(t, right))
	}
	made := v.Write(t, "auth/token/create", tokenWith(policies...))
	return v.shell(t, made.Auth.ClientToken)
}

func (v vault) shell(t *testing.T, token string) shell {
	t.Helper()
	return newShell(t, "VAULT_ADDR="+v.Address, "VAULT_TOKEN="+token).hiding(token)
}

// tokenWith is what vault token create -orphan -policy=… -period=24h sends.
func tokenWith(policies ...string) map[string]any {
	return map[string]any{"policies": policies, "period": "24h", "no_parent": true}
}

// givePolicy finds the commands in a policy's comments: how to write it, and how to make a token that has it.
var givePolicy = regexp.MustCompile(`(?m)^#   (rowseal policy .*) \| vault policy write (\S+) -\n` +
	`#   vault token create -orphan -policy=(\S+) -period=24h$`)

// grant writes the policy as it is printed, comments included, and returns its name.
func (v vault) grant(t *testing.T, right string) string {
	t.Helper()
	text := newShell(t).rowseal(t, "policy", "--key-id", vaultKey, "--"+right).ok(t)
	command := givePolicy.FindStringSubmatch(text)
	if command == nil || command[1] != "rowseal policy --key-id "+vaultKey+" --"+right || command[2] != command[3] {
		t.Fatalf("the policy does not say how to give it:\n%s", text)
	}
	if err := v.Root.Sys().PutPolicy(command[2], text); err != nil {
		t.Fatal(err)
	}
	return command[2]
}

// TestATokenOutlivesTheOneThatMadeIt: the operator has the rights that a policy's comments speak of, and no more.
func TestATokenOutlivesTheOneThatMadeIt(t *testing.T) {
	const makes = `path "auth/token/create" { capabilities = ["update"%s] }`
	eachVault(t, func(t *testing.T, v vault) {
		seal := tokenWith(v.grant(t, "seal"))
		_, err := v.Client(t, v.Token(t, fmt.Sprintf(makes, ""))).Logical().Write("auth/token/create", seal)
		if err == nil {
			t.Error(`without "sudo", an operator makes the token`)
		}
		operator := v.Client(t, v.Token(t, fmt.Sprintf(makes, `, "sudo"`)))
		made, err := operator.Logical().Write("auth/token/create", seal)
		if err != nil {
			t.Fatal(err)
		}
		if err := operator.Auth().Token().RevokeSelf(""); err != nil {
			t.Fatal(err)
		}
		v.shell(t, made.Auth.ClientToken).rowseal(t, "keys", "check", vaultKey).expect(t, 0, "yes", "no: ", "unknown")
	})
}

func TestKeysCheckTellsTheRightsOfAToken(t *testing.T) {
	eachVault(t, func(t *testing.T, v vault) {
		v.Key(t, "underived", false)
		before := v.Keys(t)
		const (
			claimed = "yes: not tried, but what the service says of itself"
			shut    = "unknown: not tried, as the key cannot open"
		)
		for _, tc := range []struct {
			rights              []string
			code                int
			seal, open, context string
		}{
			{[]string{"seal", "open"}, 0, "yes", "yes", "yes"},
			{[]string{"seal"}, 0, "yes", "no: ", shut},
			{[]string{"open"}, 0, "no: ", "yes: tried with a made-up ciphertext", claimed},
			{[]string{"rotate"}, 1, "no: ", "no: ", shut},
		} {
			v.with(t, tc.rights...).rowseal(t, "keys", "check", vaultKey).expect(t, tc.code, tc.seal, tc.open, tc.context)
		}

		root := v.shell(t, v.Root.Token())
		root.rowseal(t, "keys", "check", "vault/underived").expect(t, 1, "no: transit/encrypt/underived: this key is not derived", "unknown", "unknown")
		root.rowseal(t, "keys", "check", "vault/uzers").expect(t, 1, "no: ", "unknown", "unknown")
		root.rowseal(t, "keys", "check", "vault/nowhere/my-key").expect(t, 1, "no: ", "unknown", "unknown")
		v.shell(t, "hvs.revoked").rowseal(t, "keys", "check", vaultKey).expect(t, 1, "no: ", "no: ", shut)
		if after := v.Keys(t); !slices.Equal(before, after) {
			t.Errorf("the server had the keys %q and has %q", before, after)
		}
	})
}

func TestWhatASealerEncryptsOnlyAnOpenerDecrypts(t *testing.T) {
	eachVault(t, func(t *testing.T, v vault) {
		sealer, opener := v.with(t, "seal"), v.with(t, "open")
		row := []string{"--key-id", vaultKey, "--context", "model_id=1"}
		encrypt, decrypt := append([]string{"encrypt"}, row...), append([]string{"decrypt"}, row...)
		sealed := strings.TrimSpace(sealer.rowseal(t, append(encrypt, "hello")...).ok(t))
		if got := opener.rowseal(t, append(decrypt, sealed)...).ok(t); got != "hello" {
			t.Errorf("got %q", got)
		}
		sealer.rowseal(t, append(decrypt, sealed)...).fails(t, "error: decrypt with vault/my-key: ", "access denied")
		opener.rowseal(t, append(encrypt, "hello")...).fails(t, "error: encrypt with vault/my-key: ", "access denied")
		opener.rowseal(t, "decrypt", "--key-id", vaultKey, "--context", "model_id=2", sealed).fails(t, "decryption failed")
		sealer.rowseal(t, "encrypt", "--key-id", vaultKey, "hello").fails(t, "a derived key does nothing without a context", "(give --context NAME=VALUE)")
	})
}

// demoLog has no call but those that the page shows, and none of a key's trial before.
const demoLog = `
    call     requests  rows                               result
    encrypt         1  User 1, User 2, User 3             ok
    decrypt         1  User 1, User 2, User 3             ok
    decrypt         1  User 1, User 2, User 3, User 66    User 66 refused
    encrypt         1  User 2                             ok
    rewrap          1  User 1, User 2, User 3             ok

10.`

func TestDemoWithAKeyOfVault(t *testing.T) {
	eachVault(t, func(t *testing.T, v vault) {
		sh := v.with(t, "seal", "open", "rotate")
		before := v.Keys(t)
		page := sh.rowseal(t, "demo", "--key-id", vaultKey).ok(t)
		contains(t, page,
			"\n    key    vault/my-key\n",
			"\n    encrypted_kms_key   v1:dmF1bHQ6djE6", // vault:v1:
			"\n    -> encrypt: 3 data keys, 1 request\n",
			"\n    -> decrypt: 3 data keys, 1 request\n",
			"\n    refused: rowseal: users \"66\" encrypted_kms_key (version 1): kms: decrypt with vault/my-key:\n    decryption failed\n",
			"\n    -> rewrap: 3 data keys, 1 request\n",
			"\n    vault write -f transit/keys/my-key/rotate\n",
			"\n    vault policy delete my-key-open\n",
			"\n    rowseal policy --key-id vault/my-key --open | vault policy write my-key-open -\n",
			demoLog,
		)
		if _, err := os.Stat(filepath.Join(sh.dir, "rowseal-demo", "keys")); !os.IsNotExist(err) {
			t.Errorf("the demo made a local key: %v", err)
		}
		if after := v.Keys(t); !slices.Equal(before, after) {
			t.Errorf("the server had the keys %q and has %q", before, after)
		}
		v.expectSwitch(t, sh, tried(t, page))
	})
}

// expectSwitch runs what the page proposes: before the switch, after it, after it is undone, and after a rotation.
func (v vault) expectSwitch(t *testing.T, sh shell, commands string) {
	t.Helper()
	sh.works(t, "at first", commands)
	if err := v.Root.Sys().DeletePolicy("my-key-open"); err != nil {
		t.Fatal(err)
	}
	sh.stopped(t, "access denied", commands)
	v.grant(t, "open")
	sh.works(t, "switched on again", commands)
	v.Rotate(t, "my-key")
	sh.works(t, "with a new version of the key", commands)
}

func TestDemoShowsThatTheRightToRewrapIsMissing(t *testing.T) {
	eachVault(t, func(t *testing.T, v vault) {
		page := v.with(t, "seal", "open").rowseal(t, "demo", "--key-id", vaultKey).ok(t)
		_, rotation, _ := strings.Cut(page, "7. A new version of the master key\n")
		rotation, _, ended := strings.Cut(rotation, "8. The switch\n")
		if !ended || strings.Contains(rotation, "row 1, after") {
			t.Errorf("got %s", rotation)
		}
		contains(t, rotation, "\n    refused: ", "rowseal policy --key-id vault/my-key --rotate", "vault write -f")
	})
}

func TestDemoTellsThatAKeyIsNotFitBeforeAnythingIsMade(t *testing.T) {
	eachVault(t, func(t *testing.T, v vault) {
		for _, right := range []string{"seal", "open", "rotate"} {
			sh := v.with(t, right)
			sh.rowseal(t, "demo", "--key-id", vaultKey).fails(t, "vault/my-key", "access denied")
			if made, err := os.ReadDir(sh.dir); err != nil || len(made) > 0 {
				t.Errorf("with the right to %s alone, the demo leaves %v, %v", right, made, err)
			}
		}
	})
}
