package vaultkms

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

const (
	idPrefix     = "vault/"
	defaultMount = "transit"
)

// place is where a key is.
type place struct {
	namespace string // as Options has it; "" where a client or a mount may have one
	mount     string
	name      string
}

func newPlace(namespace, mount, name string) place {
	if mount == "" {
		mount = defaultMount
	}
	return place{strings.Trim(namespace, "/"), strings.Trim(mount, "/"), name}
}

func matchID(id string) bool { return strings.HasPrefix(id, idPrefix) }

// parseID reads vault/NAME or vault/MOUNT/NAME.
func parseID(id string) (place, error) {
	path := strings.TrimPrefix(id, idPrefix)
	p := place{mount: defaultMount, name: path}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		p.mount, p.name = path[:i], path[i+1:]
	}
	return p, p.validate()
}

// id is the id that opens the key again, where no other namespace is set.
func (p place) id() string {
	switch {
	case p.namespace != "":
		return idPrefix + p.namespace + "/" + p.mount + "/" + p.name
	case p.mount != defaultMount:
		return idPrefix + p.mount + "/" + p.name
	}
	return idPrefix + p.name
}

// path is what the API calls an operation with this key; the names of the operations are Vault's.
func (p place) path(op kms.Op) string { return p.mount + "/" + string(op) + "/" + p.name }

var (
	// framework.GenericNameRegex of Vault and OpenBao
	validName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	// Vault takes more, such as spaces; these need no escaping.
	validSegment = regexp.MustCompile(`^[A-Za-z0-9_.~+@=,-]+$`)
)

func (p place) validate() error {
	if !validName.MatchString(p.name) {
		return fmt.Errorf("vaultkms: %q is no key's name, which has letters, digits, '_', and between them '-' and '.'; "+
			"the mount goes before it in an id, or into Options.Mount: %w", p.name, kms.ErrInvalidRequest)
	}
	segments := strings.Split(p.mount, "/")
	if p.namespace != "" {
		segments = append(segments, strings.Split(p.namespace, "/")...)
	}
	if slices.ContainsFunc(segments, func(s string) bool { return !validSegment.MatchString(s) || s == "." || s == ".." }) {
		return fmt.Errorf("vaultkms: %q in the namespace %q is no mount's path, such as transit or team/transit: %w",
			p.mount, p.namespace, kms.ErrInvalidRequest)
	}
	return nil
}
