package gcpkms

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

const version = "/cryptoKeyVersions/"

// The parts of a key's name: https://cloud.google.com/kms/docs/resource-hierarchy. A project is named by its id, which may
// have a domain before it ("example.com:project"), or by its number.
var idForm = regexp.MustCompile(`^projects/([a-z0-9][a-z0-9.:-]*)/` +
	`(locations/[a-z0-9-]+/keyRings/[\w-]{1,63}/cryptoKeys/[\w-]{1,63})$`)

// beginning is what tells Google's ids from those of others; what follows may still be wrong.
var beginning = regexp.MustCompile(`^projects/[^/]+/locations/`)

func looksLikeID(id string) bool { return beginning.MatchString(id) }

// keyName is an id, taken apart as far as answers are compared with it.
type keyName struct {
	project string
	path    string // locations/…/cryptoKeys/KEY
}

func parseID(id string) (keyName, error) {
	m := idForm.FindStringSubmatch(id)
	switch {
	case m != nil:
		return keyName{project: m[1], path: m[2]}, nil
	case strings.Contains(id, version):
		return keyName{}, fmt.Errorf("gcpkms: the id names a version of a key; leave %sN out, because the key's primary "+
			"version encrypts: %w", version, kms.ErrInvalidRequest)
	}
	return keyName{}, fmt.Errorf("gcpkms: the id is not of the form "+
		"projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY: %w", kms.ErrInvalidRequest)
}

func (k keyName) String() string { return "projects/" + k.project + "/" + k.path }

// isOf tells whether a key version's name belongs to this key.
func (k keyName) isOf(versionName string) bool {
	name, number, ok := strings.Cut(versionName, version)
	other, err := parseID(name)
	return ok && number != "" && err == nil && other.path == k.path && sameProject(other.project, k.project)
}

// sameProject compares ids with ids and numbers with numbers. One may stand for the other, and which belong together only
// Google knows.
func sameProject(a, b string) bool { return a == b || isNumber(a) != isNumber(b) }

func isNumber(project string) bool { return strings.Trim(project, "0123456789") == "" }
