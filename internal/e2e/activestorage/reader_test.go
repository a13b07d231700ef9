package activestorage

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/md5"
	"crypto/sha512"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readAll opens every attachment of every user as docs/formats.md and Rails say, with the standard library alone: the
// second opinion on what the package wrote. It fails the test where a row, an object or a key does not fit the others,
// and returns the files by "user/name/filename".
func (a *app) readAll(t testing.TB) map[string]string {
	t.Helper()
	rows, err := a.db.QueryContext(t.Context(), `SELECT u.id, u.encrypted_kms_key, a.name,
			b.key, b.filename, b.metadata, b.byte_size, b.checksum
		FROM users u, active_storage_attachments a, active_storage_blobs b
		WHERE a.record_type = 'User' AND a.record_id = u.id AND b.id = a.blob_id AND b.service_name = 'local'`)
	must(t, err)
	defer rows.Close()
	files := map[string]string{}
	for rows.Next() {
		name, content, err := a.readOne(rows)
		if err != nil {
			t.Errorf("the second reader: %s: %v", name, err)
		}
		if _, twice := files[name]; twice {
			t.Errorf("the second reader: %s is there twice", name)
		}
		files[name] = content
	}
	must(t, rows.Err())
	if n := a.count(t, "active_storage_attachments WHERE record_type = 'User'"); n != len(files) {
		t.Errorf("the second reader: %d attachments, and %d have a user and a blob", n, len(files))
	}
	return files
}

func (a *app) readOne(rows *sql.Rows) (name, content string, err error) {
	var userID int
	var keyColumn, attachment, key, filename, metadata, checksum string
	var size int
	if err := rows.Scan(&userID, &keyColumn, &attachment, &key, &filename, &metadata, &size, &checksum); err != nil {
		return "", "", err
	}
	name = fmt.Sprintf("%d/%s/%s", userID, attachment, filename)
	object, err := os.ReadFile(filepath.Join(a.folder, "storage", key[:2], key[2:4], key))
	if err != nil {
		return name, "", err
	}
	if sum := md5.Sum(object); len(object) != size || base64.StdEncoding.EncodeToString(sum[:]) != checksum {
		return name, "", fmt.Errorf("%d bytes, checksum %x: not those of the row", len(object), sum)
	}
	var marks struct{ Encrypted bool }
	if err := json.Unmarshal([]byte(metadata), &marks); err != nil || !marks.Encrypted {
		return name, "", fmt.Errorf("metadata %s: %v", metadata, err)
	}
	secret, err := keyOf(keyColumn, attachment)
	if err != nil {
		return name, "", err
	}
	plaintext, err := openGCM(secret, object)
	return name, string(plaintext), err
}

// keyOf returns the key of an attachment: that of its row, or for an avatar the one derived from the master key.
func keyOf(keyColumn, attachment string) ([]byte, error) {
	if attachment == "avatar" {
		master, err := hex.DecodeString(expected.LockboxMasterKey)
		if err != nil {
			return nil, err
		}
		return hkdf.Key(sha512.New384, master, []byte("users"), strings.Repeat("\xb4", 32)+attachment, 32)
	}
	wrapped, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(keyColumn, "v1:"))
	if err != nil {
		return nil, err
	}
	parts := strings.Split(string(wrapped[12:]), ":") // after the bytes of "insecure+data+A" and a colon
	return base64.StdEncoding.DecodeString(parts[0])
}

func openGCM(key, object []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, object[:12], object[12:], nil)
}
