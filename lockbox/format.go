package lockbox

import (
	"bytes"
	"fmt"
)

// MaxPadding is the largest padding block, in bytes. The gem has no limit; this one keeps a mistyped size from filling
// memory and tables.
const MaxPadding = 65536

// Format is how a box writes: plain data, so that each column of a table can have its own. The zero value is what the gem
// writes for a model's attribute: base64, no padding.
type Format struct {
	// Padding is the size in bytes of the blocks to which messages are padded before encryption (ISO/IEC 7816-4), to
	// conceal their exact length; at most MaxPadding. 0 pads nothing. The gem's `padding: true` is 16. Padding is at
	// least one byte long, so a message that fills its blocks grows by a whole one, and "" takes one block.
	Padding int

	// Raw writes and reads bytes as they are, the gem's `encode: false`, as for files and binary columns.
	Raw bool
}

// Validate reports a padding that is negative or above MaxPadding.
func (f Format) Validate() error {
	if f.Padding == 0 {
		return nil
	}
	return checkPadding(f.Padding)
}

// Pad returns a copy of message with one byte 0x80 and then zeros appended, up to the next multiple of size bytes
// (ISO/IEC 7816-4, as libsodium's sodium_pad and lockbox lib/lockbox/padding.rb). size is 1 to MaxPadding.
func Pad(message []byte, size int) ([]byte, error) {
	if err := checkPadding(size); err != nil {
		return nil, err
	}
	padded := make([]byte, paddedLen(len(message), size))
	pad(padded, message)
	return padded, nil
}

// Unpad returns padded without its padding; the result shares memory with the argument. It accepts exactly what the gem's
// unpad accepts: the last size bytes must hold 0x80 followed by nothing but zeros; that the length is a multiple of size
// is not asked. Anything else is ErrDecryptionFailed.
//
// Unpad does not run in constant time. Used after authentication, as in Box.Decrypt, that makes no padding oracle: only
// who holds the key can make a message whose padding is ever looked at.
func Unpad(padded []byte, size int) ([]byte, error) {
	if err := checkPadding(size); err != nil {
		return nil, err
	}
	start := max(0, len(padded)-size)
	block := bytes.TrimRight(padded[start:], "\x00")
	if !bytes.HasSuffix(block, []byte{0x80}) {
		return nil, ErrDecryptionFailed
	}
	return padded[:start+len(block)-1], nil
}

func checkPadding(size int) error {
	if size < 1 || size > MaxPadding {
		return fmt.Errorf("lockbox: padding of %d bytes: want 1 to %d", size, MaxPadding)
	}
	return nil
}

func paddedLen(n, size int) int { return n - n%size + size }

// pad fills dst with message, the mark and zeros. message may lie at the start of dst already.
func pad(dst, message []byte) {
	n := copy(dst, message)
	dst[n] = 0x80
	clear(dst[n+1:])
}
