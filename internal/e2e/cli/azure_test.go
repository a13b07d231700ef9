package cli

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/azuretest"
)

const acceptPublicKey = "ROWSEAL_AZURE_ACCEPT_PUBLIC_KEY_WRAPPING=true"

// azure is a server with a key, to which rights are given as rowseal policy says.
type azure struct {
	*azuretest.Server
	id  string
	key *azuretest.Key
}

func eachAzure(t *testing.T, test func(t *testing.T, a azure)) {
	for name, k := range map[string]struct {
		host string
		add  func(*azuretest.Server, string) *azuretest.Key
	}{
		"Key Vault, RSA":   {"https://my-vault.vault.azure.net", (*azuretest.Server).RSA},
		"Managed HSM, AES": {"https://my-hsm.managedhsm.azure.net", (*azuretest.Server).AES},
	} {
		t.Run(name, func(t *testing.T) {
			a := azure{Server: azuretest.New(t), id: k.host + "/keys/my-key"}
			a.key = k.add(a.Server, a.id)
			test(t, a)
		})
	}
}

// azureAction is what a policy's role allows: the REST API has wrapKey and unwrapKey for wrap and unwrap.
var azureAction = regexp.MustCompile(`"Microsoft\.KeyVault/\w+/keys/(\w+)/action"`)

// principal has the actions of the policies that rowseal policy prints.
func (a azure) principal(t *testing.T, rights ...string) *azuretest.Principal {
	t.Helper()
	operations := map[string]string{"wrap": "wrapKey", "unwrap": "unwrapKey", "encrypt": "encrypt", "decrypt": "decrypt"}
	granted := make(map[string]bool)
	for _, right := range rights {
		policy := newShell(t).rowseal(t, "policy", "--key-id", a.id, "--"+right).ok(t)
		for _, action := range azureAction.FindAllStringSubmatch(policy, -1) {
			granted[operations[action[1]]] = true
		}
	}
	return a.Principal("somebody-"+strings.Join(rights, "-"), slices.Collect(maps.Keys(granted))...)
}

// shell has the principal's client secret in its environment.
func (a azure) shell(t *testing.T, p *azuretest.Principal) shell {
	t.Helper()
	env, secret := p.Environment()
	return behindProxy(t, a.Server).with(append(env, acceptPublicKey)...).hiding(secret, azuretest.SecretPrefix, azuretest.TokenPrefix)
}

func (a azure) with(t *testing.T, rights ...string) shell {
	t.Helper()
	return a.shell(t, a.principal(t, rights...))
}

func TestKeysCheckTellsTheRightsOfAnAzurePrincipal(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		for _, tc := range checksByRights {
			a.with(t, tc.rights...).rowseal(t, "keys", "check", a.id).expect(t, tc.code, tc.seal, tc.open, tc.context)
		}
	})
}

func TestKeysCheckTellsTheStateOfAnAzureKey(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		both := a.with(t, "seal", "open")
		r := both.rowseal(t, "keys", "check", strings.TrimSuffix(a.id, "my-key")+"mistyped")
		r.expect(t, 1, "no: ", "unknown", "unknown")
		contains(t, r.stderr, "is found neither to seal nor to open: key not found\n")
		a.key.SetEnabled(false)
		r = both.rowseal(t, "keys", "check", a.id)
		r.expect(t, 1, "no: ", "unknown", "unknown")
		contains(t, r.stderr, "error: "+a.id+" is found neither to seal nor to open: key disabled\n")
	})
}

func TestAzuresCredentialsThatAreNotTakenAreToldAndNotShown(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		refused := func(sh shell, words ...string) {
			t.Helper()
			r := sh.rowseal(t, "keys", "check", a.id)
			r.expect(t, 1, "no: ", "no: ", "unknown: not tried, as the key cannot open")
			contains(t, r.stdout, words...)
			contains(t, r.stderr, "error: "+a.id+" is found neither to seal nor to open: access denied\n")
		}
		p := a.principal(t, "seal", "open")
		sh := a.shell(t, p)
		const guessed = "a-secret-of-somebody-else"
		refused(sh.with("AZURE_CLIENT_SECRET="+guessed).hiding(guessed), "AADSTS7000215", "check AZURE_TENANT_ID")
		p.ExpireSecret()
		refused(sh, "AADSTS7000222", "are expired")
		revoked := a.principal(t, "seal", "open")
		revoked.Revoke()
		refused(a.shell(t, revoked), "401", "check AZURE_TENANT_ID")
		refused(behindProxy(t, a.Server).with(acceptPublicKey, "AZURE_TOKEN_CREDENTIALS=EnvironmentCredential"), "check AZURE_TENANT_ID")
	})
}

func TestWhatAnAzureSealerEncryptsOnlyAnOpenerDecrypts(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		expectSeparateRights(t, a.id, a.with(t, "seal"), a.with(t, "open"))
	})
}

func TestAzuresPublicKeyWrappingIsAcceptedFirst(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		r := a.with(t, "seal", "open").with("ROWSEAL_AZURE_ACCEPT_PUBLIC_KEY_WRAPPING=").rowseal(t, "keys", "check", a.id)
		if strings.Contains(a.id, ".managedhsm.") {
			r.expect(t, 0, "yes", "yes", "yes")
			return
		}
		if n := a.Requests() + a.Challenges(); r.code != 2 || r.stdout != "" || n > 0 {
			t.Errorf("exit code %d, %d requests: %s", r.code, n, r.stdout)
		}
		contains(t, r.stderr, "or accept it with "+acceptPublicKey+": ")
	})
}

func TestAnAzureThatDoesNotAnswerIsUnavailable(t *testing.T) {
	a := azure{Server: azuretest.New(t), id: "https://my-hsm.managedhsm.azure.net/keys/my-key"}
	sh := a.with(t, "seal", "open")
	a.Close()
	sh.rowseal(t, "keys", "check", a.id).expect(t, 1, "no: ", "unknown", "unknown")
	sh.rowseal(t, "encrypt", "--key-id", a.id, "hello").fails(t, "error: encrypt with "+a.id+": ", "unavailable")
}

func TestDemoWithAKeyOfAzure(t *testing.T) {
	eachAzure(t, func(t *testing.T, a azure) {
		sh := a.with(t, "seal", "open")
		page := sh.rowseal(t, "demo", "--key-id", a.id).ok(t)
		service, store, binds := "Azure Key Vault", "--vault-name my-vault", "Each data key is bound to its row on this machine too"
		if strings.Contains(a.id, ".managedhsm.") {
			service, store, binds = "Azure Managed HSM", "--hsm-name my-hsm", "tells the master key which row it belongs to"
		}
		contains(t, strings.Join(strings.Fields(page), " "), "This one is in "+service+" and never leaves it", binds, "without the row's context")
		contains(t, page,
			"\n    key    "+a.id+"\n",
			"\n    -> encrypt: 3 data keys, 3 requests\n",
			"\n    -> decrypt: 3 data keys, 3 requests\n\n",
			"\n    -> decrypt: 3 data keys, 3 requests\n    -> encrypt: 3 data keys, 3 requests\n\nA new version ",
			"\n    refused: rowseal: users \"66\" encrypted_kms_key (version 1): ",
			"\n    az keyvault key rotate "+store+" --name my-key\n",
			"\n    az keyvault key list-versions "+store+" --name my-key ",
			" rowseal keys check '"+a.id+"'\n",
		)
		commands := tried(t, page)
		sh.works(t, "at first", commands)
		a.key.SetEnabled(false)
		sh.stopped(t, "key disabled", commands)
		a.key.SetEnabled(true)
		sh.works(t, "switched on again", commands)
		a.key.Rotate()
		sh.works(t, "with a new version of the key", commands)
	})
}
