package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// Project ids of old organisations begin with a domain: example.com:project. Google takes names that begin with "-", and
// gcloud would take them for flags.
var googleID = regexp.MustCompile(`^projects/([a-z0-9][a-z0-9.:-]*)/locations/([a-z0-9][a-z0-9-]*)/` +
	`keyRings/([a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})/cryptoKeys/([a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})$`)

var googleRoles = map[Right]string{
	Seal:   "roles/cloudkms.cryptoKeyEncrypter",
	Open:   "roles/cloudkms.cryptoKeyDecrypter",
	Rotate: "roles/cloudkms.cryptoKeyEncrypterDecrypter",
}

var googleSays = map[Right]string{
	Seal: "Lets MEMBER seal: wrap new data keys, and open nothing.",
	Open: "Lets MEMBER open: unwrap data keys, and wrap none.",
	Rotate: "Lets MEMBER rotate. Google Cloud KMS cannot wrap anew without showing what is wrapped, so the job opens and seals:\n" +
		"# give it to the job only, and only while it runs.",
}

func googleDocument(id string, right Right) (Document, error) {
	p, ok := parts(googleID, id)
	if !ok {
		return Document{}, fmt.Errorf("policy: key id %q: must be "+
			"projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/NAME; no name begins with - here, and roles are given for "+
			"a key, not for a version", id)
	}
	project, location, ring, name := p[0], p[1], p[2], p[3]
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# %s\nset -eu\n", googleSays[right])
	b.WriteString(": \"${MEMBER:?set it to who gets the right, as serviceAccount:NAME@PROJECT.iam.gserviceaccount.com}\"\n\n")
	fmt.Fprintf(&b, "gcloud kms keys add-iam-policy-binding %s \\\n", name)
	fmt.Fprintf(&b, "  --project=%s --location=%s --keyring=%s \\\n", project, location, ring)
	fmt.Fprintf(&b, "  --member=\"$MEMBER\" --role=%s --condition=None\n", googleRoles[right])
	return Document{Text: b.String()}, nil
}
