package vaultkms

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// AuditDevice is an audit device of Vault or OpenBao, which tells the hashes that stand in its log; it is an audit.Hasher. It needs the
// right path "sys/audit-hash/DEVICE" { capabilities = ["update"] }, which lets its holder test guesses: give it to auditors. It is safe
// for concurrent use.
//
// https://developer.hashicorp.com/vault/api-docs/system/audit-hash
type AuditDevice struct {
	client *client
	path   string
}

// NewAuditDevice returns the device that is mounted at a path, as "vault audit list" shows it: "file". Of the options, the client
// counts; nil: as the environment says. It makes no request.
func NewAuditDevice(path string, opts *Options) (*AuditDevice, error) {
	path = strings.Trim(path, "/")
	if path == "" || strings.ContainsAny(path, "?#%") || strings.Contains(path, "..") {
		return nil, fmt.Errorf("vaultkms: %q is no path of an audit device, as \"vault audit list\" shows them: %w", path, kms.ErrInvalidRequest)
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	c, err := newClient(o.Client, "") // devices are in the root namespace, or in that of the client
	if err != nil {
		return nil, fmt.Errorf("vaultkms: %w", err)
	}
	return &AuditDevice{c, path}, nil
}

// AuditHash returns what stands in the device's log for a text. Its errors are those of a service.
func (d *AuditDevice) AuditHash(ctx context.Context, text string) (string, error) {
	path := "sys/audit-hash/" + d.path
	body, err := json.Marshal(map[string]string{"input": text})
	if err != nil {
		return "", fmt.Errorf("vaultkms: %w", err)
	}
	reply, err := d.client.target(path).put(ctx, body)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", noReply(path, err)
	}
	var answer struct {
		Errors []string `json:"errors"`
		Hash   string   `json:"hash"`
	}
	err = json.Unmarshal(reply.body, &answer)
	switch {
	case err == nil && answer.Hash != "":
		return answer.Hash, nil
	case reply.status/100 == 2:
		return "", fmt.Errorf("vaultkms: %s: the answer has no hash: %w", path, kms.ErrWrongAnswer)
	}
	said := message{path: path, status: reply.status, texts: answer.Errors, sent: reply.sent, noToken: reply.noToken}
	return "", said.error()
}
