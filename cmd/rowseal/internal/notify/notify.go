// Package notify sends alerts to a webhook and to a command.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"time"
)

const (
	attempts       = 3
	webhookTimeout = 10 * time.Second
	commandTimeout = time.Minute
)

// Notifier sends alerts, one after another. The zero value sends none.
type Notifier struct {
	Webhook string    // a URL that takes POST requests with JSON; "": none. It may be a secret: no message has it
	Command []string  // a program and its arguments, which gets the JSON on its standard input; nil: none
	Output  io.Writer // for what the command prints, and for warnings

	Failed int // alerts that could not be sent somewhere

	down bool // the webhook did not take the last alert: the next one is tried once, lest a hundred alerts wait a minute each
}

// Send sends an alert as JSON. What fails is counted, and told once it has been tried again in vain.
func (n *Notifier) Send(ctx context.Context, alert any) {
	body, err := json.Marshal(alert)
	if err == nil && n.Webhook != "" {
		err = n.post(ctx, body)
	}
	n.count(err)
	if len(n.Command) > 0 {
		n.count(n.run(ctx, body))
	}
}

func (n *Notifier) count(err error) {
	if err != nil {
		n.Failed++
		fmt.Fprintf(n.Output, "warning: an alert could not be sent: %v\n", err)
	}
}

func (n *Notifier) post(ctx context.Context, body []byte) (err error) {
	most := attempts
	if n.down {
		most = 1
	}
	defer func() { n.down = err != nil }()
	for attempt := range most {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(attempt) * time.Second):
			}
		}
		var again bool
		if again, err = n.try(ctx, body); err == nil || !again {
			return err
		}
	}
	return err
}

// try makes a request, and tells whether another may do better.
func (n *Notifier) try(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Webhook, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("the webhook's URL is none")
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return true, fmt.Errorf("webhook at %s: %w", req.URL.Host, cause(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("webhook at %s: %s", req.URL.Host, resp.Status)
}

// cause leaves the URL out.
func cause(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

func (n *Notifier) run(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Command[0], n.Command[1:]...)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.Stdout, cmd.Stderr = n.Output, n.Output
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("command %s: %w", n.Command[0], err)
	}
	return nil
}
