package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// azureKey is a key of a vault, or of a Managed HSM, in any of Azure's clouds.
type azureKey struct {
	store string // the vault's or HSM's name
	hsm   bool
	name  string
}

// azureID: what comes after "vault" is the cloud's domain. az would take a name that begins with "-" for a flag.
var azureID = regexp.MustCompile(`^https://([a-zA-Z0-9][a-zA-Z0-9-]{2,23})\.(vault|managedhsm)\.[a-zA-Z0-9.-]+/keys/` +
	`([a-zA-Z0-9][a-zA-Z0-9-]{0,126})$`)

func parseAzure(id string) (azureKey, bool) {
	p, ok := parts(azureID, id)
	if !ok {
		return azureKey{}, false
	}
	return azureKey{store: p[0], hsm: p[1] == "managedhsm", name: p[2]}, true
}

// The data actions: https://learn.microsoft.com/azure/role-based-access-control/permissions/security#microsoftkeyvault and
// https://learn.microsoft.com/azure/key-vault/managed-hsm/built-in-roles. No role has keys/read: it shows the public key,
// with which anybody can wrap.
var (
	azureVaultActions = map[Right][]string{
		Seal:   {"Microsoft.KeyVault/vaults/keys/wrap/action"},
		Open:   {"Microsoft.KeyVault/vaults/keys/unwrap/action"},
		Rotate: {"Microsoft.KeyVault/vaults/keys/wrap/action", "Microsoft.KeyVault/vaults/keys/unwrap/action"},
	}
	azureHSMActions = map[Right][]string{
		Seal:   {"Microsoft.KeyVault/managedHsm/keys/encrypt/action"},
		Open:   {"Microsoft.KeyVault/managedHsm/keys/decrypt/action"},
		Rotate: {"Microsoft.KeyVault/managedHsm/keys/encrypt/action", "Microsoft.KeyVault/managedHsm/keys/decrypt/action"},
	}
)

var azureSays = map[Right]string{
	Seal:   "Lets ASSIGNEE seal: wrap new data keys, and open nothing.",
	Open:   "Lets ASSIGNEE open: unwrap data keys, and wrap none.",
	Rotate: "Lets ASSIGNEE rotate. Azure cannot wrap anew without showing what is wrapped, so the job opens and seals.",
}

func azureDocument(id string, right Right) (Document, error) {
	k, ok := parseAzure(id)
	if !ok {
		return Document{}, errors.New("policy: the key id must be https://NAME.vault.azure.net/keys/NAME or " +
			"https://NAME.managedhsm.azure.net/keys/NAME; no name begins with -, and roles are given for a key, not for a version")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# %s\n", azureSays[right])
	if k.hsm {
		return k.hsmDocument(&b, right)
	}
	return k.vaultDocument(&b, right)
}

const azureAssignee = "set -eu\n: \"${ASSIGNEE:?set it to who gets the right: an object id, or the name of a service principal or user}\"\n"

func (k azureKey) vaultDocument(b *strings.Builder, right Right) (Document, error) {
	if right == Seal {
		b.WriteString("# With an RSA key, whoever has its public key can wrap without the vault; this is about the vault's own wrapping.\n")
	}
	b.WriteString("# The vault must use Azure role-based access control. No built-in role separates wrapping from unwrapping.\n")
	b.WriteString(azureAssignee)
	fmt.Fprintf(b, "role='rowseal %s: %s'\n", right, k.store)
	fmt.Fprintf(b, "vault=$(az keyvault show --name %s --query id --output tsv)\n", k.store)
	role, err := indented(struct {
		Name, Description    string
		Actions, DataActions []string
		NotActions           []string
		NotDataActions       []string
		AssignableScopes     []string
	}{"$role", "Rowseal: " + string(right), none, azureVaultActions[right], none, none, []string{"${vault%/providers/*}"}})
	if err != nil {
		return Document{}, err
	}
	fmt.Fprintf(b, `
if [ -z "$(az role definition list --name "$role" --scope "$vault" --query '[].id' --output tsv)" ]; then
  az role definition create --role-definition "$(cat <<EOF
%sEOF
)"
fi

# Azure takes some minutes to know a new role: if this fails, run the script again.
az role assignment create --assignee "$ASSIGNEE" --role "$role" --scope "$vault/keys/%s"
`, role, k.name)
	return Document{Text: b.String()}, nil
}

func (k azureKey) hsmDocument(b *strings.Builder, right Right) (Document, error) {
	b.WriteString("# This is for an AES key, by the HSM's local role-based access control.\n")
	b.WriteString(azureAssignee)
	fmt.Fprintf(b, "role='rowseal %s'\n", right)
	role, err := indented(struct {
		RoleName       string   `json:"roleName"`
		Description    string   `json:"description"`
		Actions        []string `json:"actions"`
		NotActions     []string `json:"notActions"`
		DataActions    []string `json:"dataActions"`
		NotDataActions []string `json:"notDataActions"`
	}{"$role", "Rowseal: " + string(right), none, none, azureHSMActions[right], none})
	if err != nil {
		return Document{}, err
	}
	fmt.Fprintf(b, `
if [ -z "$(az keyvault role definition list --hsm-name %[1]s --query "[?roleName=='$role'].id" --output tsv)" ]; then
  az keyvault role definition create --hsm-name %[1]s --role-definition "$(cat <<EOF
%[2]sEOF
)"
fi

az keyvault role assignment create --hsm-name %[1]s --assignee "$ASSIGNEE" --role "$role" --scope /keys/%[3]s
`, k.store, role, k.name)
	return Document{Text: b.String()}, nil
}

var none = []string{} // in JSON [], where nil would be null
