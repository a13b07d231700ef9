package azurekms

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

// keyID is an id in its parts.
type keyID struct {
	id   string
	host string // with the port, if the id has one
	name string
}

var (
	validName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	// Azure's versions are 32 hexadecimal digits. Upper case is not one of them, so that no version can be written in two ways.
	validVersion = regexp.MustCompile(`^[0-9a-z]{1,64}$`)
)

// parseID repeats nothing of an id in its errors: kms.Open does, without passwords.
func parseID(id string) (keyID, error) {
	refused := func(reason string) (keyID, error) {
		return keyID{}, fmt.Errorf("azurekms: %s; the form is https://NAME.vault.azure.net/keys/NAME: %w", reason, kms.ErrInvalidRequest)
	}
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return refused("the key id is no https URL")
	}
	if u.User != nil || strings.ContainsAny(id, "?#") {
		return refused("a key id has no user, query or fragment")
	}
	path, ok := strings.CutPrefix(u.EscapedPath(), "/keys/")
	if !ok {
		return refused("the key id's path does not begin with /keys/")
	}
	name, version, versioned := strings.Cut(path, "/")
	switch {
	case !validName.MatchString(name):
		return refused("a key's name has 1 to 127 letters, digits and hyphens")
	case versioned && validVersion.MatchString(version):
		return refused("leave the version out of the key id: the newest one wraps, and each ciphertext remembers its own")
	case versioned:
		return refused("the key id goes on behind the key's name")
	}
	return keyID{id: id, host: u.Host, name: name}, nil
}

// managedHSM tells by the host whether this is a Managed HSM; every cloud's have that label.
func (k keyID) managedHSM() bool { return strings.Contains(strings.ToLower(k.host), ".managedhsm.") }

func (k keyID) vault() string { return "https://" + k.host }

// versionOf returns the version of this key that an answer's id names. Azure's ids are not case-sensitive.
func (k keyID) versionOf(kid azkeys.ID) (version string, ok bool) {
	u, err := url.Parse(string(kid))
	if err != nil {
		return "", false
	}
	ours := url.URL{Host: k.host}
	path, ok := strings.CutPrefix(u.Path, "/keys/")
	name, version, _ := strings.Cut(path, "/")
	ok = ok && strings.EqualFold(u.Hostname(), ours.Hostname()) && strings.EqualFold(name, k.name)
	return version, ok && validVersion.MatchString(version)
}
