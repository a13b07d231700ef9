package policy

import (
	"cmp"
	"fmt"
)

// Keeper is who keeps a KMS key, and alone can change it: what to call the service, and the commands of its own tool, each
// a line for a shell.
type Keeper struct {
	Service string // "Vault or OpenBao"
	Rotate  string // gives the key a new version; earlier ones still open
	Newer   string // how that shows in a ciphertext that is wrapped anew
	Stop    string // no server opens anything from then on
	StopIs  string // what that does
	Stopped string // how opening then fails
	Resume  string // undoes Stop
	Log     string // where the service says who opened what
	Blind   bool   // the service does not get the context
}

// KeeperOf returns false for ids of no KMS: those of local and of test keys.
func KeeperOf(id string) (Keeper, bool) {
	if key, ok := parseAWS(id); ok {
		return key.keeper(id), true
	}
	if p, ok := parts(vaultID, id); ok {
		return vaultKeeper(id, cmp.Or(p[0], defaultMount), p[1]), true
	}
	if p, ok := parts(googleID, id); ok {
		return googleKeeper(p[0], p[1], p[2], p[3]), true
	}
	if key, ok := parseAzure(id); ok {
		return key.keeper(), true
	}
	return Keeper{}, false
}

// vaultKeeper: transit keys cannot be switched off, so that the right to open is taken away. That holds for tokens that
// are there already: Vault reads policies at every request.
func vaultKeeper(id, mount, name string) Keeper {
	open := vaultPolicyName(mount, name, Open)
	return Keeper{
		Service: "Vault or OpenBao",
		Rotate:  fmt.Sprintf("vault write -f %s/keys/%s/rotate", mount, name),
		Newer:   "the ciphertext inside, vault:v1:…, then begins with the new version's number",
		Stop:    "vault policy delete " + open,
		StopIs: "transit keys have no switch, but the right to open is taken from every token at once that has it by this policy, " +
			"which 'rowseal policy --open' prints.",
		Stopped: "access denied",
		Resume:  fmt.Sprintf("rowseal policy --key-id %s --open | vault policy write %s -", id, open),
		Log:     "its audit devices, with a hash of each row's context",
	}
}

// keeper: AWS takes no alias where a key is changed.
func (k awsKey) keeper(id string) Keeper {
	where := ""
	if k.region != "" {
		where = " --region " + k.region
	}
	key := id
	if k.alias != "" {
		key = fmt.Sprintf(`"$(aws kms describe-key%s --key-id %s --query KeyMetadata.KeyId --output text)"`, where, id)
	}
	command := func(name string) string { return fmt.Sprintf("aws kms %s%s --key-id %s", name, where, key) }
	return Keeper{
		Service: "AWS KMS",
		Rotate:  command("rotate-key-on-demand"),
		Newer:   "AWS does not show which version wrapped a ciphertext",
		Stop:    command("disable-key"),
		StopIs:  "the key is disabled.",
		Stopped: "key disabled",
		Resume:  command("enable-key"),
		Log:     "CloudTrail, with each row's context in clear",
	}
}

// googleKeeper: Google switches versions on and off, not keys.
func googleKeeper(project, location, ring, name string) Keeper {
	key := fmt.Sprintf("--key=%s --keyring=%s --location=%s --project=%s", name, ring, location, project)
	each := func(state, change string) string {
		return fmt.Sprintf("gcloud kms keys versions list %s --filter=state=%s --format='value(name)' | "+
			"xargs -n 1 gcloud kms keys versions %s", key, state, change)
	}
	return Keeper{
		Service: "Google Cloud KMS",
		Rotate:  fmt.Sprintf("gcloud kms keys versions create %s --primary", key),
		Newer:   "Google does not show which version wrapped a ciphertext",
		Stop:    each("ENABLED", "disable"),
		StopIs:  "each version of the key is disabled.",
		Stopped: "key disabled",
		Resume:  each("DISABLED", "enable"),
		Log:     "its Data Access audit logs, once those are switched on, without the row's context",
	}
}

// keeper: what az changes without a version is the newest one only.
func (k azureKey) keeper() Keeper {
	service, store := "Azure Key Vault", "--vault-name "
	if k.hsm {
		service, store = "Azure Managed HSM", "--hsm-name "
	}
	store += k.store
	each := func(enabled bool) string {
		return fmt.Sprintf("az keyvault key list-versions %s --name %s --query '[].kid' --output tsv | "+
			"xargs -n 1 az keyvault key set-attributes --enabled %t --id", store, k.name, enabled)
	}
	return Keeper{
		Service: service,
		Rotate:  fmt.Sprintf("az keyvault key rotate %s --name %s", store, k.name),
		Newer:   "the ciphertext then names the new version",
		Stop:    each(false),
		StopIs:  "each version of the key is disabled.",
		Stopped: "key disabled",
		Resume:  each(true),
		Log:     "its diagnostic log, without the row's context",
		Blind:   !k.hsm, // RSA
	}
}
