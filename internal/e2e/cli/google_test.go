package cli

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/gcptest"
)

const (
	googleRing = "projects/my-project/locations/europe-west3/keyRings/my-ring/cryptoKeys/"
	googleKey  = googleRing + "my-key"
)

// google is a server with a key, to which rights are given as rowseal policy says, and a form of credentials.
type google struct {
	*gcptest.Server
	key  *gcptest.Key
	file func(*gcptest.Server, string) []byte
}

func eachGoogle(t *testing.T, test func(t *testing.T, g google)) {
	for name, file := range map[string]func(*gcptest.Server, string) []byte{
		"a service account": (*gcptest.Server).KeyFile,
		"a login":           (*gcptest.Server).LoginFile,
	} {
		t.Run(name, func(t *testing.T) {
			s := gcptest.New(t)
			test(t, google{s, s.CreateKey(googleKey), file})
		})
	}
}

var googleRole = regexp.MustCompile(` --role=(\S+) `)

// account has the roles that rowseal policy gives.
func (g google) account(t *testing.T, rights ...string) (token string) {
	t.Helper()
	roles := map[string][]gcptest.Right{
		"roles/cloudkms.cryptoKeyEncrypter":          {gcptest.Encrypter},
		"roles/cloudkms.cryptoKeyDecrypter":          {gcptest.Decrypter},
		"roles/cloudkms.cryptoKeyEncrypterDecrypter": {gcptest.Encrypter, gcptest.Decrypter},
	}
	token = g.Token()
	for _, right := range rights {
		policy := newShell(t).rowseal(t, "policy", "--key-id", googleKey, "--"+right).ok(t)
		role := googleRole.FindStringSubmatch(policy)
		if role == nil || roles[role[1]] == nil {
			t.Fatalf("a role that this test does not know:\n%s", policy)
		}
		g.Grant(token, googleKey, roles[role[1]]...)
	}
	return token
}

// shell has a file of the account's credentials. No value of it that is secret may be printed, nor a line of one.
func (g google) shell(t *testing.T, token string) shell {
	t.Helper()
	file := g.file(g.Server, token)
	var fields map[string]string
	if err := json.Unmarshal(file, &fields); err != nil {
		t.Fatal(err)
	}
	sh := behindProxy(t, g.Server).hiding(gcptest.TokenPrefix, gcptest.RefreshPrefix, gcptest.SecretPrefix, gcptest.JWTPrefix)
	for _, name := range []string{"private_key", "refresh_token", "client_secret"} {
		sh = sh.hiding(strings.Fields(fields[name])...)
	}
	return sh.with("GOOGLE_APPLICATION_CREDENTIALS=" + sh.file(t, "credentials.json", file))
}

func (g google) with(t *testing.T, rights ...string) shell {
	t.Helper()
	return g.shell(t, g.account(t, rights...))
}

func TestKeysCheckTellsTheRightsOfAGoogleAccount(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) {
		for _, tc := range checksByRights {
			g.with(t, tc.rights...).rowseal(t, "keys", "check", googleKey).expect(t, tc.code, tc.seal, tc.open, tc.context)
		}
	})
}

func TestKeysCheckTellsTheStateOfAGoogleKey(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) {
		token := g.account(t, "seal", "open")
		g.Grant(token, "projects/my-project", gcptest.Encrypter)
		both := g.shell(t, token)
		r := both.rowseal(t, "keys", "check", googleRing+"mistyped")
		r.expect(t, 1, "no: ", "unknown", "unknown")
		contains(t, r.stderr, "is found neither to seal nor to open: key not found\n")
		g.key.SetState(0, gcptest.Disabled)
		r = both.rowseal(t, "keys", "check", googleKey)
		r.expect(t, 1, "no: ", "unknown", "unknown")
		contains(t, r.stderr, "error: "+googleKey+" is found neither to seal nor to open: key disabled\n")
	})
}

func TestGooglesCredentialsThatAreNotTakenAreToldAndNotShown(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) {
		refused := func(sh shell, hint string) {
			t.Helper()
			r := sh.rowseal(t, "keys", "check", googleKey)
			r.expect(t, 1, "no: ", "no: ", "unknown: not tried, as the key cannot open")
			contains(t, r.stdout, hint)
			if strings.Contains(r.stdout, "Options") {
				t.Errorf("advice for a Go program: %s", r.stdout)
			}
			contains(t, r.stderr, "error: "+googleKey+" is found neither to seal nor to open: access denied\n")
		}
		const hint = "the credentials are missing, expired or revoked"
		token := g.account(t, "seal", "open")
		sh := g.shell(t, token)
		sh.rowseal(t, "keys", "check", googleKey).expect(t, 0, "yes", "yes", "yes")
		g.RevokeFiles(token)
		refused(sh, hint)
		expired := g.account(t, "seal", "open")
		g.Expire(expired)
		refused(g.shell(t, expired), hint)
		for _, content := range []string{"", "{}", `{"type": "service_account", "private_key": "GOCSPX-gcptest-pasted"}`} {
			refused(sh.with("GOOGLE_APPLICATION_CREDENTIALS="+sh.file(t, "broken.json", []byte(content))), "set GOOGLE_APPLICATION_CREDENTIALS to the name of a file")
		}
		refused(sh.with("GOOGLE_APPLICATION_CREDENTIALS=/nowhere/credentials.json"), "no such file or directory")
	})
}

func TestWhatAGoogleSealerEncryptsOnlyAnOpenerDecrypts(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) { expectSeparateRights(t, googleKey, g.with(t, "seal"), g.with(t, "open")) })
}

func TestAGoogleThatDoesNotAnswerIsUnavailable(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) {
		sh := g.with(t, "seal", "open")
		g.Stop()
		sh.rowseal(t, "keys", "check", googleKey).expect(t, 1, "no: ", "unknown", "unknown")
		sh.rowseal(t, "encrypt", "--key-id", googleKey, "hello").fails(t, "error: encrypt with "+googleKey+": ", "unavailable")
	})
}

func TestDemoWithAKeyOfGoogle(t *testing.T) {
	eachGoogle(t, func(t *testing.T, g google) {
		sh := g.with(t, "seal", "open")
		page := sh.rowseal(t, "demo", "--key-id", googleKey).ok(t)
		contains(t, strings.Join(strings.Fields(page), " "), "This one is in Google Cloud KMS and never leaves it",
			"One request for each wraps its data key and tells the master key which row it belongs to.", "without the row's context")
		const key = "--key=my-key --keyring=my-ring --location=europe-west3 --project=my-project"
		contains(t, page,
			"\n    key    "+googleKey+"\n",
			"\n    -> encrypt: 3 data keys, 3 requests\n",
			"\n    -> decrypt: 3 data keys, 3 requests\n\n",
			"\n    -> decrypt: 3 data keys, 3 requests\n    -> encrypt: 3 data keys, 3 requests\n\nA new version ",
			"\n    refused: rowseal: users \"66\" encrypted_kms_key (version 1): ",
			"\n    gcloud kms keys versions create "+key+" --primary\n",
			"\n    gcloud kms keys versions list "+key+" --filter=state=ENABLED ",
			" rowseal keys check "+googleKey+"\n",
		)
		commands := tried(t, page)
		sh.works(t, "at first", commands)
		g.key.SetState(0, gcptest.Disabled)
		sh.stopped(t, "key disabled", commands)
		g.key.SetState(0, gcptest.Enabled)
		sh.works(t, "switched on again", commands)
		g.key.Rotate()
		sh.works(t, "with a new version of the key", commands)
	})
}
