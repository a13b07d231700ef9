package lockbox

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/rowseal/rowseal/internal/errs"
)

// DefaultFileLimit is the limit of ReadFile, EncryptFile and DecryptFile where 0 is given: 64 MiB.
const DefaultFileLimit = 64 << 20

// ErrTooLarge is matched by the error of a file that is larger than the limit.
var ErrTooLarge = errs.ErrTooLarge

// ReadFile returns all that r has, at most limit bytes; more is ErrTooLarge, and nothing is returned. limit 0 is
// DefaultFileLimit. Where r tells its size, as an *os.File or a *bytes.Reader does, that takes as much memory as the file
// has, elsewhere about twice as much.
func ReadFile(r io.Reader, limit int64) ([]byte, error) { return readFile(r, limit, 0) }

// EncryptFile seals all that r has, as the gem seals files: like Encrypt, in one piece. limit is that of ReadFile. A
// file that is not read to its end is not sealed.
//
// The file is held in memory, for the form has one tag for the whole. That takes as much memory as the file has where r
// tells its size (see ReadFile), the format is raw and the algorithm AESGCM or XChaCha20; elsewhere two to three times as
// much.
func (b *Box) EncryptFile(r io.Reader, limit int64, associatedData []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	plaintext, err := readFile(r, limit, b.format.Padding+maxOverhead)
	if err != nil {
		return nil, err
	}
	return b.encrypt(plaintext[:0], plaintext, associatedData)
}

// DecryptFile opens what EncryptFile or the gem has sealed. limit is that of the opened file, and r may have as much more
// as sealing adds. Nothing is returned before the whole is authenticated: a wrong byte anywhere is ErrDecryptionFailed. It
// takes as much memory as EncryptFile does, and once more for each previous version tried.
func (b *Box) DecryptFile(r io.Reader, limit int64, associatedData []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	sealed, err := readFile(r, b.sealedLimit(limit), 0)
	if err != nil {
		return nil, err
	}
	return b.decrypt(sealed, associatedData, true)
}

// maxOverhead is what nonce and tag take at most, in bytes.
const maxOverhead = longNonce + 16

// sealedLimit is what a file of limit bytes takes at most once sealed under any version of the box.
func (b *Box) sealedLimit(limit int64) int64 {
	if limit == 0 {
		limit = DefaultFileLimit
	}
	if limit < 0 || limit > math.MaxInt64/2 {
		return limit
	}
	_, previous := b.versions()
	padding := b.format.Padding
	for _, v := range previous {
		padding = max(padding, v.padding)
	}
	size := limit + int64(padding) + maxOverhead
	if !b.format.Raw {
		size += size/3 + size/30 + 4 // base64, with line ends
	}
	return size
}

// readFile leaves room for that many bytes more where r tells its size.
func readFile(r io.Reader, limit int64, room int) ([]byte, error) {
	if limit == 0 {
		limit = DefaultFileLimit
	}
	if limit < 0 {
		return nil, fmt.Errorf("lockbox: a limit of %d bytes: want a number above 0, or 0 for the default", limit)
	}
	content, err := readAll(io.LimitReader(r, min(limit, math.MaxInt64-1)+1), min(sizeOf(r), limit), room)
	if err != nil {
		return nil, fmt.Errorf("lockbox: reading the file: %w", err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("lockbox: the file is %w of %d bytes; raise it if files may be that large, and fit into memory whole",
			ErrTooLarge, limit)
	}
	return content, nil
}

func readAll(r io.Reader, size int64, room int) ([]byte, error) {
	if size == 0 {
		return io.ReadAll(r)
	}
	content := bytes.NewBuffer(make([]byte, 0, size+int64(max(room, bytes.MinRead)))) // at its end, a Buffer asks for MinRead
	_, err := content.ReadFrom(r)
	return content.Bytes(), err
}

// sizeOf returns how much a reader has, as far as it tells, else 0.
func sizeOf(r io.Reader) int64 {
	switch r := r.(type) {
	case interface{ Len() int }:
		return max(0, int64(r.Len()))
	case fs.File:
		if info, err := r.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}
