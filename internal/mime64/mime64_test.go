package mime64_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/mime64"
)

func Example() {
	text := mime64.Encode([]byte(`{"model_id":"1","model_name":"User","note":"longer than a line"}`))
	fmt.Print(text)
	fmt.Println(string(mime64.Decode(text)))
	// Output:
	// eyJtb2RlbF9pZCI6IjEiLCJtb2RlbF9uYW1lIjoiVXNlciIsIm5vdGUiOiJs
	// b25nZXIgdGhhbiBhIGxpbmUifQ==
	// {"model_id":"1","model_name":"User","note":"longer than a line"}
}

func TestEncodeWritesLinesOf60ColumnsEachEnded(t *testing.T) {
	for _, c := range []struct {
		bytes int
		want  string
	}{
		{0, ""},
		{1, "AA==\n"},
		{44, strings.Repeat("A", 59) + "=\n"},
		{45, strings.Repeat("A", 60) + "\n"},
		{46, strings.Repeat("A", 60) + "\nAA==\n"},
		{90, strings.Repeat(strings.Repeat("A", 60)+"\n", 2)},
		{92, strings.Repeat(strings.Repeat("A", 60)+"\n", 2) + "AAA=\n"},
	} {
		if got := mime64.Encode(make([]byte, c.bytes)); got != c.want {
			t.Errorf("Encode of %d zero bytes = %q, want %q", c.bytes, got, c.want)
		}
	}
	if got := mime64.Encode([]byte{0xfb, 0xef, 0xff}); got != "++//\n" {
		t.Errorf("Encode writes %q for the last two letters of the alphabet, want %q", got, "++//\n")
	}
}

// What unpack1("m") gives.
func TestDecodeReadsAsRubyDoes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"strict", "aGVsbG8=", "hello"},
		{"no padding, two letters", "aA", "h"},
		{"no padding, three letters", "aGU", "he"},
		{"a lone letter is dropped", "a", ""},
		{"a lone letter after a quantum is dropped", "aGVsb", "hel"},
		{"lines", "aGVs\nbG8=\n", "hello"},
		{"carriage returns", "aGVs\r\nbG8=\r\n", "hello"},
		{"spaces, signs, zeros", " a-G_V\x00s b\xffG8=", "hello"},
		{"text after the padding is not read", "aA==aGVsbG8=", "h"},
		{"= in the third place ends", "aA=GVs", "h"},
		{"= in the fourth place ends", "aGU=bG8", "he"},
		{"= in the first place is skipped", "=aGVs", "hel"},
		{"= in the second place is skipped", "a=GVs", "hel"},
		{"= after a whole quantum is skipped", "aGVs=bG8=", "hello"},
		{"nothing but =", "====", ""},
		{"bits beyond the last byte are ignored", "aB==", "h"},
		{"padding interrupted by a line end", "aA=\n=", "h"},
		{"the URL alphabet is foreign", "-_-_", ""},
	} {
		if got := mime64.Decode(c.text); string(got) != c.want {
			t.Errorf("%s: Decode(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

func TestAppendDecodeExtendsWhatItIsGiven(t *testing.T) {
	for _, text := range []string{"bG8=", "bG8", "b!G8"} {
		if got := mime64.AppendDecode([]byte("hel"), []byte(text)); string(got) != "hello" {
			t.Errorf("AppendDecode(hel, %q) = %q, want hello", text, got)
		}
	}
}

func TestDecodeAllocatesOnce(t *testing.T) {
	for _, text := range []string{strings.Repeat("AAAA", 30), strings.Repeat("A!AAA", 30)} {
		if n := testing.AllocsPerRun(100, func() { mime64.Decode(text) }); n > 1 {
			t.Errorf("Decode of %.10s… allocates %v times, want once", text, n)
		}
	}
}

func FuzzEncode(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		text := mime64.Encode(b)
		if got := mime64.Decode(text); !bytes.Equal(got, b) {
			t.Errorf("Decode(Encode(%x)) = %x", b, got)
		}
		if joined := strings.ReplaceAll(text, "\n", ""); joined != base64.StdEncoding.EncodeToString(b) {
			t.Errorf("Encode(%x) without line ends is not base64: %q", b, joined)
		}
	})
}

func FuzzDecode(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		got := mime64.Decode(text)
		if want := decodeLetterByLetter(text); !bytes.Equal(got, want) {
			t.Fatalf("Decode(%q) = %x, want %x", text, got, want)
		}
		if again := mime64.Decode(mime64.Encode(got)); !bytes.Equal(again, got) {
			t.Errorf("Encode(Decode(%q)) decodes to %x, want %x", text, again, got)
		}
	})
}

// decodeLetterByLetter is the rule as Ruby's documentation tells it: keep the letters of the alphabet up to the "=" that
// pads, then decode without padding.
func decodeLetterByLetter(text string) []byte {
	var letters []byte
	for _, c := range []byte(text) {
		switch {
		case c == '=' && len(letters)%4 >= 2:
			return decodeLetters(letters)
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
			letters = append(letters, c)
		}
	}
	return decodeLetters(letters)
}

func decodeLetters(letters []byte) []byte {
	if len(letters)%4 == 1 {
		letters = letters[:len(letters)-1]
	}
	b, err := base64.RawStdEncoding.DecodeString(string(letters))
	if err != nil {
		panic(err)
	}
	return b
}

// needSeeds fails where the committed corpus is missing: without seeds, go test would pass and try nothing.
func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
