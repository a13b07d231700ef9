package vaulttest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	plaintext = "cGxhaW50ZXh0" // base64, as the API has it
	ec        = "Y29udGV4dA=="
)

func encrypt(c *api.Client, key string) error {
	_, err := c.Logical().Write("transit/encrypt/"+key, map[string]any{"plaintext": plaintext, "context": ec})
	return err
}

func wantStatus(t *testing.T, what string, err error, want int) {
	t.Helper()
	got := http.StatusOK
	if r := (*api.ResponseError)(nil); errors.As(err, &r) {
		got = r.StatusCode
	} else if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got != want {
		t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func TestATokenMayDoWhatItsPolicySays(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Key(t, "mine", true)
		s.Key(t, "other", true)
		c := s.Client(t, s.Token(t, `path "transit/encrypt/mine" { capabilities = ["update"] }`))
		wantStatus(t, "its own key", encrypt(c, "mine"), http.StatusOK)
		wantStatus(t, "another key", encrypt(c, "other"), http.StatusForbidden)
		wantStatus(t, "a key that is not there", encrypt(c, "none"), http.StatusForbidden)
		if got := s.Keys(t); !slices.Equal(got, []string{"mine", "other"}) {
			t.Errorf("the server has the keys %q", got)
		}
	})
}

func TestADerivedKeyNeedsAContext(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Key(t, "derived", true)
		s.Key(t, "plain", false)
		for key, want := range map[string]int{"derived": http.StatusBadRequest, "plain": http.StatusOK} {
			_, err := s.Root.Logical().Write("transit/encrypt/"+key, map[string]any{"plaintext": plaintext})
			wantStatus(t, key, err, want)
		}
	})
}

func TestTheAuditLogHasHashes(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		log := s.Audit(t)
		s.Key(t, "k", true)
		wantStatus(t, "encrypt", encrypt(s.Root, "k"), http.StatusOK)
		entries := log.Requests(t, "transit/encrypt/k")
		if len(entries) != 1 || entries[0].Request.Data["context"] != log.Hash(t, ec) {
			t.Errorf("the log has %v", entries)
		}
		if bytes.Contains(log.Text(t), []byte(plaintext)) {
			t.Error("the log has the plaintext")
		}
	})
}

func TestARestoredKeyOpensWhatTheFirstSealed(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Key(t, "first", true)
		sealed := s.Write(t, "transit/encrypt/first", map[string]any{"plaintext": plaintext, "context": ec})
		s.Rotate(t, "first")
		s.Restore(t, "second", s.Backup(t, "first"))
		opened := s.Write(t, "transit/decrypt/second", map[string]any{"ciphertext": sealed.Data["ciphertext"], "context": ec})
		if opened.Data["plaintext"] != plaintext {
			t.Error("the restored key opens something else")
		}
	})
}

func TestASealedServerAnswersNothing(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Key(t, "k", true)
		s.Seal(t)
		wantStatus(t, "sealed", encrypt(s.Root, "k"), http.StatusServiceUnavailable)
		s.Unseal(t)
		wantStatus(t, "unsealed", encrypt(s.Root, "k"), http.StatusOK)
	})
}

func TestRequestsAboveTheRateAreRefused(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Key(t, "k", true)
		s.RateLimit(t, "transit/encrypt/k", 0.01)
		wantStatus(t, "the first", encrypt(s.Root, "k"), http.StatusOK)
		wantStatus(t, "the second", encrypt(s.Root, "k"), http.StatusTooManyRequests)
	})
}

func TestAServerEndsWithItsTest(t *testing.T) {
	var addresses []string
	t.Run("servers", func(t *testing.T) {
		Each(t, func(t *testing.T, s *Server) {
			if !listens(s.Address) {
				t.Errorf("nothing listens at %s", s.Address)
			}
			addresses = append(addresses, s.Address)
		})
	})
	for _, address := range addresses {
		if listens(address) {
			t.Errorf("there is still a server at %s", address)
		}
	}
}

const heldServer = "ROWSEAL_HELD_SERVER"

func TestNoServerSurvivesAKilledTest(t *testing.T) {
	if name := os.Getenv(heldServer); name != "" {
		holdServer(t, name)
	}
	Each(t, func(t *testing.T, s *Server) {
		other := exec.Command(os.Args[0], "-test.run=^TestNoServerSurvivesAKilledTest$")
		other.Env = append(os.Environ(), heldServer+"="+s.Name, "TMPDIR="+t.TempDir()) // which it will not remove
		output, err := other.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		address, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		address = strings.TrimSpace(address)
		if !listens(address) {
			t.Errorf("nothing listens at %s", address)
		}
		if err := other.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		other.Wait()
		if !goes(address) {
			t.Errorf("%v after its test was killed, there is still a server at %s", patience, address)
		}
	})
}

// goes waits for a server to end: it closes its connections then.
func goes(address string) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		c, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			return true
		}
		c.SetReadDeadline(deadline)
		c.Read(make([]byte, 1))
		c.Close()
	}
	return false
}

// holdServer is the test that gets killed.
func holdServer(t *testing.T, name string) {
	Each(t, func(t *testing.T, s *Server) {
		if s.Name == name {
			fmt.Println(s.Address)
			select {}
		}
	})
}

func listens(address string) bool {
	c, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		return false
	}
	c.Close()
	return true
}
