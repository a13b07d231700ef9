package otelseal

import "regexp"

// providers tells a provider by the form of its ids, as kms.Open does. Other ids are of keys that a program made with kms.NewKey.
var providers = []struct {
	name string
	form *regexp.Regexp
}{
	{"local", regexp.MustCompile(`^local/`)},
	{"vault", regexp.MustCompile(`^vault/`)},
	{"aws", regexp.MustCompile(`^(arn:aws[a-z-]*:kms:|alias/|mrk-[0-9a-f]{32}$|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$)`)},
	{"google", regexp.MustCompile(`^projects/[^/]+/locations/`)},
	{"azure", regexp.MustCompile(`^https://[^/]+/keys/`)},
	{"test", regexp.MustCompile(`^insecure-test-key(/encrypt)?$`)},
}

func provider(keyID string) string {
	for _, p := range providers {
		if p.form.MatchString(keyID) {
			return p.name
		}
	}
	return "other"
}
