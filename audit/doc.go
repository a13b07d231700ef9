// Package audit writes down who opened which record, and when.
//
// What an application does with its KMS keys, it tells the observers of each [kms.Key]. [Logger] is one that writes a line a call to
// log/slog.
//
//	key, err := kms.Open(ctx, "vault/users", &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(nil, nil)}})
//	ctx = audit.WithActor(ctx, "ada", "ticket 4711")
//
// No event holds a plaintext, a ciphertext or a key.
package audit
