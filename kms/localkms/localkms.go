// Package localkms keeps master keys in files on this machine: one file a key, opened with the id local/NAME. It needs no
// service and no network, and is meant for development, tests, single machines and a first look.
//
//	import (
//		"github.com/rowseal/rowseal/kms"
//		_ "github.com/rowseal/rowseal/kms/localkms"
//	)
//
//	key, err := kms.Open(ctx, "local/users", nil) // in the directory of the zero Store
//
// A [Store] is the directory; it makes, rotates, disables and lists keys. Whoever can read a key's file can open everything
// that the key wrapped, on any machine and without a trace: there is no audit log. In production use a KMS.
//
// # Ciphertexts
//
// A ciphertext is 68 bytes longer than its plaintext, of which there may be 64 KiB at most:
//
//	"RSL1" ‖ version, 4 bytes ‖ salt, 32 ‖ nonce, 12 ‖ ciphertext ‖ tag, 16
//
// It is sealed with AES-256-GCM under HKDF-SHA-256(secret: the master key of that version, salt, info: "rowseal local v1",
// 32 bytes). The key is a fresh one for every ciphertext, so the limit on random nonces of NIST SP 800-38D §8.3 does not bind.
// Authenticated with it are
//
//	length of NAME, 4 bytes ‖ NAME ‖ version, 4 ‖ 0
//	length of NAME, 4 bytes ‖ NAME ‖ version, 4 ‖ 1 ‖ context
//
// without and with a context, whose bytes are those of [kms.Item.ContextBytes]. Integers are big endian.
//
// # Key files
//
// NAME.json holds the versions of the key, each 32 random bytes, in JSON: see docs/local-keys.md. It is read anew at every
// request, so that what another process changes takes effect at once. A version is used only after the file that holds it is
// safely on disk: it is first written as one that opens and does not seal.
//
// # Permissions
//
// A key is refused with kms.ErrAccessDenied, whatever is asked of it, if others can read its file or could have put it there:
//
//   - the file has any permission for group or others;
//   - the directory can be written to by group or others, with the sticky bit or without;
//   - the directory belongs to neither root nor the user of the process (root may use every user's);
//   - the file belongs to neither root, nor the user of the process, nor the owner of the directory.
//
// For a symbolic link that holds of the directory it is in, of the file that it leads to and of that file's directory. The
// directories above are not checked. What root changes keeps its owner and group; a new key that root makes belongs to the owner
// of the directory. On Windows none of this is checked: there the directory's access control list decides.
package localkms

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

const idPrefix = "local/"

func init() {
	kms.Register(kms.Provider{
		Name:  "local",
		Match: func(id string) bool { return strings.HasPrefix(id, idPrefix) },
		Open: func(_ context.Context, id string) (kms.Service, error) {
			return Store{}.Open(strings.TrimPrefix(id, idPrefix))
		},
	})
}

// Store is a directory of keys. Its methods are safe for concurrent use, by other processes too. Those that change a key wait for
// the directory's lock, until ctx ends or 30 seconds have passed; a change that has begun is carried through.
//
// Their errors match kms.ErrInvalidRequest, kms.ErrKeyNotFound, kms.ErrAccessDenied (see Permissions), kms.ErrUnavailable (the
// directory's lock, or the disk), ErrKeyFile or the error of ctx.
type Store struct {
	// Dir is made when the first key is. "": the directory that $ROWSEAL_LOCAL_KEYS names, or else rowseal/keys in
	// os.UserConfigDir.
	Dir string

	disk disk // nil: osDisk
}

func (s Store) diskOrOS() disk {
	if s.disk == nil {
		return osDisk{}
	}
	return s.disk
}

// Directory returns the absolute path of the directory, which need not exist.
func (s Store) Directory() (string, error) {
	dir := s.Dir
	if dir == "" {
		dir = os.Getenv("ROWSEAL_LOCAL_KEYS")
	}
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("localkms: no default directory for keys: set $ROWSEAL_LOCAL_KEYS (%v): %w",
				err, kms.ErrInvalidRequest)
		}
		dir = filepath.Join(config, "rowseal", "keys")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("localkms: directory %s: %w: %w", dir, err, kms.ErrUnavailable)
	}
	return abs, nil
}

// Open returns the service of one key, for kms.NewKey; kms.Open does both with the zero Store. It reads nothing: a missing key
// shows at the first use.
func (s Store) Open(name string) (kms.Service, error) {
	dir, err := s.keyDir(name)
	if err != nil {
		return nil, err
	}
	return service{name: name, path: keyPath(dir, name)}, nil
}

// keyDir returns the directory, provided that name may name a key in it.
func (s Store) keyDir(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	return s.Directory()
}

const extension = ".json"

func keyPath(dir, name string) string { return filepath.Join(dir, name+extension) }

// Lower case only: file systems may take Users and users for one file. A leading letter or digit keeps out "..", hidden files
// and options of commands.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func checkName(name string) error {
	if validName.MatchString(name) {
		return nil
	}
	const most = 80 // a name in a message is cut: it may be anything that was passed as one
	shown := name
	if len(shown) > most {
		shown = shown[:most] + "…"
	}
	return fmt.Errorf("localkms: key name %q: use 1 to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first: %w",
		shown, kms.ErrInvalidRequest)
}
