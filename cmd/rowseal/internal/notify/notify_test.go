package notify_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/notify"
)

// hook is a webhook that answers with these statuses, one after another, and the last one from then on.
func hook(t *testing.T, statuses ...int) (url string, got *[]string) {
	t.Helper()
	got = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = append(*got, r.Method+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(statuses[min(len(*got), len(statuses))-1])
	}))
	t.Cleanup(s.Close)
	return s.URL + "/services/s3cret", got
}

func TestAWebhookGetsTheAlert(t *testing.T) {
	for _, test := range []struct {
		statuses         []int
		requests, failed int
		says             string
	}{
		{[]int{200}, 1, 0, ""},
		{[]int{204}, 1, 0, ""},
		{[]int{500, 200}, 2, 0, ""},
		{[]int{429, 503, 200}, 3, 0, ""},
		{[]int{503}, 3, 1, "503 Service Unavailable"},
		{[]int{404}, 1, 1, "404 Not Found"},
		{[]int{302}, 1, 1, "302 Found"}, // another place might not be meant
	} {
		url, got := hook(t, test.statuses...)
		var out bytes.Buffer
		n := &notify.Notifier{Webhook: url, Output: &out}
		n.Send(t.Context(), map[string]string{"text": "alert"})
		if len(*got) != test.requests || n.Failed != test.failed || !strings.Contains(out.String(), test.says) || strings.Contains(out.String(), "s3cret") {
			t.Errorf("%v: %d requests, %d failed, %s", test.statuses, len(*got), n.Failed, &out)
		}
		if (*got)[0] != `POST application/json {"text":"alert"}` {
			t.Errorf("got %s", (*got)[0])
		}
	}
	var out bytes.Buffer
	n := &notify.Notifier{Webhook: "http://127.0.0.1:1/s3cret", Output: &out}
	n.Send(t.Context(), 1)
	if n.Failed != 1 || strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "webhook at 127.0.0.1:1") {
		t.Errorf("%d, %s", n.Failed, &out)
	}
}

func TestAWebhookThatIsDownDoesNotHoldUpTheNextAlert(t *testing.T) {
	url, got := hook(t, 503, 503, 503, 503, 200, 503, 200)
	n := &notify.Notifier{Webhook: url, Output: io.Discard}
	for _, want := range []int{3, 4, 5, 7} { // requests in all: thrice in vain, once in vain, once, and again with a second try
		if n.Send(t.Context(), 1); len(*got) != want {
			t.Errorf("%d requests, want %d", len(*got), want)
		}
	}
	if n.Failed != 2 {
		t.Errorf("%d failed", n.Failed)
	}
}

func TestACommandGetsTheAlert(t *testing.T) {
	file := filepath.Join(t.TempDir(), "got")
	var out bytes.Buffer
	n := &notify.Notifier{Command: []string{"sh", "-c", `cat >"$0"; echo said`, file}, Output: &out}
	n.Send(t.Context(), map[string]string{"text": "it's; $(an) alert"})
	got, err := os.ReadFile(file)
	if err != nil || n.Failed != 0 || out.String() != "said\n" {
		t.Fatalf("%v, %d failed, %s", err, n.Failed, &out)
	}
	var alert map[string]string
	if json.Unmarshal(got, &alert) != nil || alert["text"] != "it's; $(an) alert" {
		t.Errorf("got %s", got)
	}
	for what, command := range map[string][]string{"fails": {"false"}, "is not there": {filepath.Join(t.TempDir(), "none")}} {
		out.Reset()
		n = &notify.Notifier{Command: command, Output: &out}
		if n.Send(t.Context(), 1); n.Failed != 1 || !strings.Contains(out.String(), "command "+command[0]) {
			t.Errorf("one that %s: %d, %s", what, n.Failed, &out)
		}
	}
	new(notify.Notifier).Send(t.Context(), 1) // to nobody
}
