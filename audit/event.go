package audit

import (
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Event is what one log says of one record: it was sealed, opened or wrapped anew, or somebody tried. It holds no plaintext, no
// ciphertext and no key.
type Event struct {
	Time    time.Time
	Source  Source
	Op      kms.Op // or OpManage
	Action  string // in the service's words: "Decrypt", "transit/decrypt/users"
	Outcome Outcome
	Error   string // what the service says of a failure, in a word or a few

	// KeyID is the id for kms.Open, of AWS the key's ARN; of a rewrap the new key.
	KeyID      string
	KeyVersion string // where the log has it

	Principal string // who asked the KMS; in a ledger, the actor
	Purpose   string // in a ledger only
	Address   string // from where

	// Context names the record. It is nil where the service does not log it.
	Context kms.Context
	To      kms.Context // of a rewrap, the new context, where it is another one
	// ContextHash is what Vault and OpenBao log instead: see ContextHash.
	ContextHash string

	// Request is the service's id of the request: the records of a batch have one.
	Request  string
	Attempts int           // in a ledger: how many requests it took
	Duration time.Duration // in a ledger: of the call, from Time on
}

// Source is a kind of log.
type Source string

// The kinds of logs that a Reader knows.
const (
	CloudTrail  Source = "cloudtrail" // AWS, https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html
	VaultAudit  Source = "vault"      // Vault and OpenBao, https://developer.hashicorp.com/vault/docs/audit
	GoogleAudit Source = "google"     // https://cloud.google.com/kms/docs/audit-logging
	AzureAudit  Source = "azure"      // https://learn.microsoft.com/azure/key-vault/general/logging
	LedgerFile  Source = "ledger"
)

// OpManage is what changes a key, the rights to it, or the log itself, or takes the key out of the service.
const OpManage kms.Op = "manage"

// Outcome is how it ended.
type Outcome string

// The outcomes. Unknown is one that the log does not tell: Vault writes one hash for the answer to a batch in which some record failed,
// and none at all for a request that it did not live to answer.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// Opened tells whether a data key may have been shown.
func (e Event) Opened() bool { return e.Op == kms.OpDecrypt && e.Outcome != Failed }

// Record names the record as people do: "User 1", or the entries of its context, or the hash; "" where the log has neither.
func (e Event) Record() string {
	switch {
	case e.Context != nil:
		return recordName(e.Context)
	default:
		return e.ContextHash
	}
}
