package lockbox_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/lockbox"
)

func TestPaddingIsTheGems(t *testing.T) {
	for _, row := range gemBoxes.Padding {
		padded, err := lockbox.Pad(row.Message, row.Size)
		if err != nil || !bytes.Equal(padded, row.Padded) {
			t.Errorf("Pad(%x, %d) = %x, %v; want %x", row.Message, row.Size, padded, err, row.Padded)
		}
		message, err := lockbox.Unpad(row.Padded, row.Size)
		if err != nil || !bytes.Equal(message, row.Message) {
			t.Errorf("Unpad(%x, %d) = %x, %v; want %x", row.Padded, row.Size, message, err, row.Message)
		}
	}
	if len(gemBoxes.Padding) != 28 {
		t.Errorf("%d rows, want 28", len(gemBoxes.Padding))
	}
}

func TestPadDoesNotTouchWhatItIsGiven(t *testing.T) {
	buffer := []byte("message, and what comes after it")
	padded := must(lockbox.Pad(buffer[:7], 16))
	if string(buffer) != "message, and what comes after it" {
		t.Errorf("the caller's buffer is now %q", buffer)
	}
	if want := "message\x80\x00\x00\x00\x00\x00\x00\x00\x00"; string(padded) != want {
		t.Errorf("padded %q, want %q", padded, want)
	}
}

func TestUnpadAcceptsWhatTheGemAccepts(t *testing.T) {
	const failed = "does not unpad"
	for _, c := range []struct {
		padded string
		size   int
		want   string
	}{
		{"\x80", 1, ""},
		{"\x80", 16, ""}, // the gem does not ask for whole blocks
		{"a\x80\x00", 16, "a"},
		{"a\x80\x00", 2, "a"},
		{"a\x80\x00", 1, failed},         // the mark lies before the last block
		{"a\x80\x00\x00\x00", 3, failed}, // so here
		{"a\x80\x00\x00", 3, "a"},
		{"a\x80\x80\x00", 4, "a\x80"},
		{"", 16, failed},
		{"\x00\x00", 16, failed},
		{"a", 16, failed},
		{"a\x80b", 16, failed},
		{"a\x80\x01", 16, failed},
		{strings.Repeat("\x00", 16), 16, failed},
	} {
		got, err := lockbox.Unpad([]byte(c.padded), c.size)
		if c.want == failed {
			wantFailed(t, c.padded, got, err)
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("Unpad(%q, %d) = %q, %v; want %q", c.padded, c.size, got, err, c.want)
		}
	}
}

func TestASizeThatNoBlockHasIsRefused(t *testing.T) {
	for _, size := range []int{-1, 0, lockbox.MaxPadding + 1} {
		if got, err := lockbox.Pad(nil, size); err == nil {
			t.Errorf("Pad to %d gives %d bytes", size, len(got))
		}
		if got, err := lockbox.Unpad([]byte{0x80}, size); err == nil || err == lockbox.ErrDecryptionFailed {
			t.Errorf("Unpad of %d gives %q, %v; want an error about the size", size, got, err)
		}
	}
	for padding, valid := range map[int]bool{-1: false, 0: true, 1: true, lockbox.MaxPadding: true, lockbox.MaxPadding + 1: false} {
		if err := (lockbox.Format{Padding: padding}).Validate(); (err == nil) != valid {
			t.Errorf("a format padded to %d: %v", padding, err)
		}
	}
	if n := len(must(lockbox.Pad(nil, lockbox.MaxPadding))); n != lockbox.MaxPadding {
		t.Errorf("the largest padding pads to %d", n)
	}
}
