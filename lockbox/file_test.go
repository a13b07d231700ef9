package lockbox_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rowseal/rowseal/lockbox"
)

func TestAFileIsReadWholeOrNotAtAll(t *testing.T) {
	content := []byte("twelve bytes")
	onDisk := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(onDisk, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() io.Reader{
		"a bytes.Reader":         func() io.Reader { return bytes.NewReader(content) },
		"a bytes.Buffer":         func() io.Reader { return bytes.NewBuffer(content) },
		"a reader without size":  func() io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} },
		"a reader byte by byte":  func() io.Reader { return iotest.OneByteReader(bytes.NewReader(content)) },
		"one with data at EOF":   func() io.Reader { return iotest.DataErrReader(bytes.NewReader(content)) },
		"a size that is too low": func() io.Reader { return sized{bytes.NewReader(content), 3} },
		"a size far too high":    func() io.Reader { return sized{bytes.NewReader(content), 1 << 62} },
		"a negative size":        func() io.Reader { return sized{bytes.NewReader(content), -10_000} },
		"an os.File":             func() io.Reader { return must(os.Open(onDisk)) },
	} {
		for limit, fits := range map[int64]bool{12: true, 13: true, 0: true, 1 << 20: true, 11: false, 1: false} {
			r := open()
			got, err := lockbox.ReadFile(r, limit)
			if closer, ok := r.(io.Closer); ok {
				closer.Close()
			}
			switch {
			case fits && (err != nil || !bytes.Equal(got, content)):
				t.Errorf("%s, limit %d: %q, %v", name, limit, got, err)
			case !fits && (!errors.Is(err, lockbox.ErrTooLarge) || got != nil):
				t.Errorf("%s, limit %d: %q, %v; want ErrTooLarge", name, limit, got, err)
			}
		}
	}
}

// sized is a reader that says it has n bytes.
type sized struct {
	io.Reader
	n int
}

func (s sized) Len() int { return s.n }

func TestTheLimitSaysWhatItIs(t *testing.T) {
	_, err := lockbox.ReadFile(strings.NewReader("four"), 3)
	if err == nil || !strings.HasPrefix(err.Error(), "lockbox: the file is larger than the limit of 3 bytes; raise it") {
		t.Errorf("%v; want the limit, and what to do", err)
	}
	if _, err := lockbox.ReadFile(strings.NewReader("four"), -1); err == nil || errors.Is(err, lockbox.ErrTooLarge) {
		t.Errorf("a negative limit: %v; want an error that says so", err)
	}
	if got, err := lockbox.ReadFile(strings.NewReader("four"), 1<<63-1); err != nil || string(got) != "four" {
		t.Errorf("the largest limit: %q, %v", got, err)
	}
	endless := endlessReader{}
	_, err = lockbox.ReadFile(&endless, 0)
	if !errors.Is(err, lockbox.ErrTooLarge) || endless.given > lockbox.DefaultFileLimit+1<<20 {
		t.Errorf("an endless file: %v after %d bytes; want ErrTooLarge after %d", err, endless.given, lockbox.DefaultFileLimit)
	}
}

type endlessReader struct{ given int64 }

func (r *endlessReader) Read(p []byte) (int, error) {
	r.given += int64(len(p))
	return len(p), nil
}

func TestAFileThatCannotBeReadIsNotSealed(t *testing.T) {
	broken := errors.New("the line is dead")
	box := newBox(t, testKey, nil)
	half := io.MultiReader(strings.NewReader("half a "), iotest.ErrReader(broken))
	if got, err := box.EncryptFile(half, 0, nil); got != nil || !errors.Is(err, broken) {
		t.Errorf("EncryptFile: %q, %v", got, err)
	}
	half = io.MultiReader(strings.NewReader("half a "), iotest.ErrReader(broken))
	if got, err := box.DecryptFile(half, 0, nil); got != nil || !errors.Is(err, broken) {
		t.Errorf("DecryptFile: %q, %v", got, err)
	}
	zero := &lockbox.Box{}
	if _, err := zero.EncryptFile(strings.NewReader(""), 0, nil); err == nil {
		t.Error("the zero box seals files")
	}
	if _, err := zero.DecryptFile(strings.NewReader(""), 0, nil); err == nil {
		t.Error("the zero box opens files")
	}
}

func TestAFileIsSealedLikeAMessage(t *testing.T) {
	for algorithm, boxWith := range everyAlgorithm {
		for _, format := range []lockbox.Format{{Raw: true}, {Raw: true, Padding: 16}, {Padding: 1000}, {}} {
			box, err := boxWith(&lockbox.Options{Format: format, Previous: []lockbox.Previous{{Key: naclKey, Padding: 64}}})
			if refusedByFIPS(t, algorithm, err) {
				continue
			}
			for _, size := range []int{0, 1, 15, 16, 500, 5000} {
				content := bytes.Repeat([]byte("f"), size)
				for _, r := range []io.Reader{bytes.NewReader(content), struct{ io.Reader }{bytes.NewReader(content)}} {
					sealed, err := box.EncryptFile(r, 5000, nil)
					if err != nil {
						t.Fatalf("%s %+v: %v", algorithm, format, err)
					}
					if got, err := box.Decrypt(sealed, nil); err != nil || !bytes.Equal(got, content) {
						t.Errorf("%s %+v: %d bytes come back as %d, %v", algorithm, format, size, len(got), err)
					}
					got, err := box.DecryptFile(bytes.NewReader(sealed), max(int64(size), 1), nil)
					if err != nil || !bytes.Equal(got, content) {
						t.Errorf("%s %+v: %d bytes come back as a file of %d, %v", algorithm, format, size, len(got), err)
					}
				}
				if !bytes.Equal(content, bytes.Repeat([]byte("f"), size)) {
					t.Fatalf("%s %+v: EncryptFile changed what it read", algorithm, format)
				}
			}
			if _, err := box.EncryptFile(bytes.NewReader(make([]byte, 5001)), 5000, nil); !errors.Is(err, lockbox.ErrTooLarge) {
				t.Errorf("%s %+v: a file above the limit is sealed: %v", algorithm, format, err)
			}
			if _, err := box.DecryptFile(bytes.NewReader(make([]byte, 20_000)), 5000, nil); !errors.Is(err, lockbox.ErrTooLarge) {
				t.Errorf("%s %+v: a file above the limit is opened: %v", algorithm, format, err)
			}
		}
	}
}

// A text with line ends, as MIME base64 has them, is no longer than its limit allows.
func TestAFileInMIMEBase64HasTheLimitOfItsContent(t *testing.T) {
	box := newBox(t, testKey, nil)
	content := make([]byte, 10_000)
	text := must(box.EncryptFile(bytes.NewReader(content), 0, nil))
	var lines bytes.Buffer
	for len(text) > 0 {
		n := min(60, len(text))
		lines.Write(text[:n])
		lines.WriteString("\n")
		text = text[n:]
	}
	if got, err := box.DecryptFile(&lines, 10_000, nil); err != nil || len(got) != len(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAFileTakesItsOwnSizeOfMemory(t *testing.T) {
	const size = 8 << 20
	content := make([]byte, size)
	for _, padding := range []int{0, lockbox.MaxPadding} {
		box := newBox(t, testKey, &lockbox.Options{Format: lockbox.Format{Raw: true, Padding: padding}})
		sealed := must(box.Encrypt(content, nil))
		for name, f := range map[string]func() ([]byte, error){
			"sealing": func() ([]byte, error) { return box.EncryptFile(bytes.NewReader(content), 0, nil) },
			"opening": func() ([]byte, error) { return box.DecryptFile(bytes.NewReader(sealed), 0, nil) },
		} {
			if taken := memoryOf(func() { must(f()) }); taken > size+1<<18 {
				t.Errorf("%s a file of %d bytes, padded by %d, takes %d bytes of memory", name, size, padding, taken)
			}
		}
	}
}

// A reader may use all of its buffer as scratch space. None of that may get into the padding.
func TestWhatAReaderLeavesBehindTheFileIsNotSealed(t *testing.T) {
	for algorithm, boxWith := range everyAlgorithm {
		box, err := boxWith(&lockbox.Options{Format: lockbox.Format{Raw: true, Padding: 64}})
		if refusedByFIPS(t, algorithm, err) {
			continue
		}
		sealed := must(box.EncryptFile(&scribbler{"a file"}, 0, nil))
		got, err := box.Decrypt(sealed, nil)
		if err != nil || string(got) != "a file" {
			t.Errorf("%s: the file comes back as %q, %v", algorithm, got, err)
		}
	}
}

// scribbler is a reader of left that fills the rest of the buffer too.
type scribbler struct{ left string }

func (s *scribbler) Len() int { return len(s.left) }

func (s *scribbler) Read(p []byte) (int, error) {
	if s.left == "" {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = '!'
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// memoryOf is all that f asks for, which is more than it has at one time.
func memoryOf(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
