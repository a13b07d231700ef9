// Package mime64 is Ruby's pack("m") and unpack("m"), which kms_encrypted, Lockbox and attr_encrypted write and read:
// base64 of RFC 2045 §6.8 in lines of 60 columns, read leniently.
//
// The source of both rules is Ruby's pack.c: https://docs.ruby-lang.org/en/master/language/packed_data_rdoc.html
package mime64

import (
	"encoding/base64"
	"slices"
)

// lineBytes is what fills a line of 60 columns.
const lineBytes = 45

// Encode returns the base64 of b in lines of 60 columns, each ended by "\n", the last one too. Empty input gives "".
func Encode(b []byte) string {
	lines := (len(b) + lineBytes - 1) / lineBytes
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))+lines)
	for line := range slices.Chunk(b, lineBytes) {
		out = base64.StdEncoding.AppendEncode(out, line)
		out = append(out, '\n')
	}
	return string(out)
}

// Decode returns the bytes that s encodes. Nothing is an error: bytes outside the alphabet are skipped; "=" in the third
// or fourth place of a quantum ends the text, and is skipped in the first two; missing padding is fine; a single
// character left over at the end, six bits that make no byte, is dropped.
func Decode(s string) []byte {
	return AppendDecode(nil, []byte(s))
}

// AppendDecode appends what src encodes, by the rules of [Decode], to dst and returns the extended slice. It allocates at
// most once, and never more than three quarters of len(src) beyond dst.
func AppendDecode(dst, src []byte) []byte {
	start := len(dst)
	if room := start + base64.RawStdEncoding.DecodedLen(len(src)); room > cap(dst) {
		dst = append(make([]byte, 0, room), dst...)
	}
	out := dst[start:cap(dst)]
	// Where the strict decoder finds no fault, it agrees with Ruby's: it skips nothing but line ends.
	n, err := base64.StdEncoding.Decode(out, src)
	if err != nil {
		n = decodeLenient(out, src)
	}
	return dst[:start+n]
}

func decodeLenient(out, src []byte) (n int) {
	var quantum uint32
	var place int
	for _, c := range src {
		if c == '=' && place >= 2 {
			break
		}
		six := alphabet[c]
		if six == foreign {
			continue
		}
		quantum = quantum<<6 | uint32(six)
		if place++; place == 4 {
			out[n], out[n+1], out[n+2] = byte(quantum>>16), byte(quantum>>8), byte(quantum)
			n, place, quantum = n+3, 0, 0
		}
	}
	switch place {
	case 2:
		out[n] = byte(quantum >> 4)
		n++
	case 3:
		out[n], out[n+1] = byte(quantum>>10), byte(quantum>>2)
		n += 2
	}
	return n
}

const foreign = 0xff

// alphabet maps a byte to its six bits, or to foreign.
var alphabet = func() (table [256]byte) {
	for i := range table {
		table[i] = foreign
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		table[c] = byte(i)
	}
	return table
}()
