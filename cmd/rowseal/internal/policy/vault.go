package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// vaultID is narrower than what Vault takes as a mount: in a policy's path, +, * and {{…}} stand for other paths. All
// before the last slash is the mount. A command would take a "-" at the beginning for a flag.
var vaultID = regexp.MustCompile(`^vault/(?:((?:[a-zA-Z0-9_][a-zA-Z0-9_.-]*/)*[a-zA-Z0-9_][a-zA-Z0-9_.-]*)/)?` +
	`([a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?)$`)

const defaultMount = "transit"

var vaultPaths = map[Right]string{Seal: "encrypt", Open: "decrypt", Rotate: "rewrap"}

func vaultDocument(id string, right Right) (Document, error) {
	p, ok := parts(vaultID, id)
	if !ok {
		return Document{}, fmt.Errorf("policy: key id %q: must be vault/NAME or vault/MOUNT/NAME, of letters, digits, - _ and ., "+
			"and no - at the beginning", id)
	}
	mount, name := cmp.Or(p[0], defaultMount), p[1]
	policyName := vaultPolicyName(mount, name, right)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", vaultSays[right])
	fmt.Fprintf(&b, "# \"update\" and never \"create\": with that, a mistyped key name would make a new key.\n")
	fmt.Fprintf(&b, "path \"%s/%s/%s\" {\n  capabilities = [\"update\"]\n}\n\n", mount, vaultPaths[right], name)
	fmt.Fprintf(&b, "# To give it (with OpenBao: bao):\n")
	fmt.Fprintf(&b, "#   rowseal policy --key-id %s --%s | vault policy write %s -\n", id, right, policyName)
	fmt.Fprintf(&b, "#   vault token create -orphan -policy=%s -period=24h\n", policyName)
	b.WriteString(vaultTokens)
	return Document{Text: b.String()}, nil
}

// vaultTokens: -orphan and -period both need sudo (handleCreateCommon in vault/token_store.go of Vault and OpenBao).
const vaultTokens = `# Whoever makes the token needs "update" and "sudo" on auth/token/create. With -orphan, it outlives the token that made it.
# Rowseal does not renew it: let Vault Agent do that (docs/vault.md), or hand over a client that does. After 24 hours
# without a renewal it is dead.
`

// vaultPolicyName is another for each key and right: else the second policy would take the first one's place. Vault reads
// names in lower case. Those with a tag end in it, and the others in a right.
func vaultPolicyName(mount, name string, right Right) string {
	if mount == defaultMount && name == strings.ToLower(name) {
		return name + "-" + string(right)
	}
	path := mount + "/" + name
	return fmt.Sprintf("%s-%s-%s", strings.ToLower(strings.ReplaceAll(path, "/", "-")), right, tag(path))
}

var vaultSays = map[Right]string{
	Seal: "Sealing: wraps new data keys, and can open nothing.",
	Open: "Opening: unwraps data keys, and can wrap none.",
	Rotate: "Rotating: wraps data keys anew under the key's newest version, without seeing them, under the context that they\n" +
		"# have. To another key or context, the job needs to open with the old key and to seal with the new one.",
}
