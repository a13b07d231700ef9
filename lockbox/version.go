package lockbox

import (
	"bytes"
	"errors"
	"fmt"
)

// version is a key with all that decides whether it opens a ciphertext.
type version struct {
	seals, opens   primitive // the same, but for a hybrid box, where one may be nil
	algorithm      Algorithm
	padding        int    // of a previous version; the current one's is that of the box
	associatedData []byte // what nil stands for; of a previous version, nil is what the current one has
}

// newVersion has hybrid keys where the algorithm is Hybrid or "", else a key.
func newVersion(algorithm Algorithm, key []byte, hybrid *HybridKeys, associatedData []byte) (version, error) {
	v := version{algorithm: algorithm, associatedData: bytes.Clone(associatedData)}
	var err error
	switch {
	case hybrid == nil:
		v.seals, err = newPrimitive(algorithm, key)
		v.opens = v.seals
	case algorithm == "" || algorithm == Hybrid:
		v.algorithm = Hybrid
		v.seals, v.opens, err = newHybrid(hybrid)
	default:
		err = fmt.Errorf("lockbox: algorithm %q with hybrid keys: want %q", string(algorithm), string(Hybrid))
	}
	if err == nil && len(associatedData) > 0 && !v.algorithm.takesAssociatedData() {
		err = v.noAssociatedData()
	}
	return v, err
}

// newPrevious returns the previous versions of a box that has a key, or else hybrid keys.
func newPrevious(key []byte, hybrid *HybridKeys, previous []Previous) ([]version, error) {
	var versions []version
	for i, p := range previous {
		v, err := p.version(key, hybrid)
		if err != nil {
			return nil, fmt.Errorf("%w (previous version %d)", err, i)
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// version takes over the keys of the box where p has none of its own.
func (p Previous) version(key []byte, hybrid *HybridKeys) (version, error) {
	if err := (Format{Padding: p.Padding}).Validate(); err != nil {
		return version{}, err
	}
	if p.Key != nil {
		key = p.Key
	}
	switch {
	case p.Hybrid != nil && p.Key != nil:
		return version{}, errors.New("lockbox: a previous version has a key and hybrid keys: give one of them")
	case p.Hybrid != nil:
		hybrid = p.Hybrid
	case p.Algorithm != Hybrid:
		hybrid = nil
	}
	v, err := newVersion(p.Algorithm, key, hybrid, p.AssociatedData)
	if err == nil && v.opens == nil {
		return version{}, errors.New("lockbox: a previous version only decrypts, and has no hybrid decryption key")
	}
	v.padding = p.Padding
	return v, err
}

// associated returns the associated data that given stands for.
func (v version) associated(given []byte) ([]byte, error) {
	if given == nil {
		return v.associatedData, nil // newVersion has checked it
	}
	if len(given) > 0 && !v.algorithm.takesAssociatedData() {
		return nil, v.noAssociatedData()
	}
	return given, nil
}

func (v version) noAssociatedData() error {
	return fmt.Errorf("lockbox: algorithm %s takes no associated data: use %s or %s to bind a ciphertext to its place",
		string(v.algorithm), string(AESGCM), string(XChaCha20))
}

// checkAssociated refuses associated data that a previous version would silently ignore.
func checkAssociated(previous []version, given []byte) error {
	if len(given) == 0 {
		return nil
	}
	for i, v := range previous {
		if v.associatedData == nil && !v.algorithm.takesAssociatedData() {
			return fmt.Errorf("lockbox: algorithm %s takes no associated data, so it is bound to no place: "+
				"if that shall open, say AssociatedData: []byte{} (previous version %d)", string(v.algorithm), i)
		}
	}
	return nil
}

// open opens ciphertext with its own associated data, or else with what the current version has.
func (v version) open(dst, ciphertext, associatedData []byte) ([]byte, error) {
	if v.associatedData != nil {
		associatedData = v.associatedData
	}
	plaintext, err := v.opens.Open(dst, nil, ciphertext, associatedData)
	if err != nil {
		return nil, err
	}
	if v.padding > 0 {
		return Unpad(plaintext, v.padding)
	}
	return plaintext, nil
}
