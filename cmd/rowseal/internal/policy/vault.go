package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// vaultID is narrower than what Vault takes as a mount: in a policy's path, +, * and {{…}} stand for other paths. All
// before the last slash is the mount.
var vaultID = regexp.MustCompile(`^vault/(?:((?:[a-zA-Z0-9_-][a-zA-Z0-9_.-]*/)*[a-zA-Z0-9_-][a-zA-Z0-9_.-]*)/)?` +
	`([a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?)$`)

var vaultPaths = map[Right]string{Seal: "encrypt", Open: "decrypt", Rotate: "rewrap"}

func vaultDocument(id string, right Right) (Document, error) {
	p, ok := parts(vaultID, id)
	if !ok {
		return Document{}, fmt.Errorf("policy: key id %q: must be vault/NAME or vault/MOUNT/NAME, of letters, digits, - _ and . only", id)
	}
	mount, name := cmp.Or(p[0], "transit"), p[1]
	policyName := vaultPolicyName(id, right)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", vaultSays[right])
	fmt.Fprintf(&b, "# \"update\" and never \"create\": with that, a mistyped key name would make a new key.\n")
	fmt.Fprintf(&b, "path \"%s/%s/%s\" {\n  capabilities = [\"update\"]\n}\n\n", mount, vaultPaths[right], name)
	fmt.Fprintf(&b, "# To give it (with OpenBao: bao). The token lives as long as its user renews it, as the client does:\n")
	fmt.Fprintf(&b, "#   rowseal policy --key-id %s --%s | vault policy write %s -\n", id, right, policyName)
	fmt.Fprintf(&b, "#   vault token create -policy=%s -period=24h\n", policyName)
	return Document{Text: b.String()}, nil
}

var vaultSays = map[Right]string{
	Seal: "Sealing: wraps new data keys, and can open nothing.",
	Open: "Opening: unwraps data keys, and can wrap none.",
	Rotate: "Rotating: wraps data keys anew under the key's newest version, without seeing them, under the context that they\n" +
		"# have. To another key or context, the job needs to open with the old key and to seal with the new one.",
}
