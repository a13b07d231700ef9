// Package audit answers who opened which record, and when.
//
// What an application does with its KMS keys, it tells the observers of each [kms.Key]. Two of them are here: [Logger] writes a line
// a call to log/slog, and a [Ledger] appends to a file whose lines are chained by hashes, which a [Verifier] checks.
//
//	key, err := kms.Open(ctx, "vault/users", &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(nil, nil), ledger}})
//	ctx = audit.WithActor(ctx, "grace", "ticket 4711")
//
// What a KMS has logged of it, a [Reader] reads: CloudTrail, the audit files of Vault and OpenBao, Google's audit logs, Azure's, and
// ledgers, all as one [Event]. A [Report] counts events, and its [Document] is shown as text, as a page or as JSON; a [Matcher] finds those
// of one log that another does not explain; a [Watch] applies rules to them. Vault and OpenBao log hashes of contexts: [ContextHash] asks
// for one, and [Names] knows whose they are.
//
// No event holds a plaintext, a ciphertext or a key. Of a context, the values of model_name, model_id and key_name are written down and
// others are hashed, unless a [Redaction] says otherwise; the KMS's own logs have what the KMS writes.
//
// The command line does all of it: rowseal audit, and https://github.com/rowseal/rowseal/blob/main/docs/auditing.md.
package audit
