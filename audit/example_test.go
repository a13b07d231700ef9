package audit_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A line for each call, with who asked and why.
func ExampleLogger() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.MessageKey || a.Key == "duration" {
			return slog.Attr{} // other at each run
		}
		return a
	}}))
	key := kms.NewKey(kmstest.NewFake(), &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(log, nil)}})

	ctx := audit.WithActor(context.Background(), "ada", "ticket 4711")
	if _, err := key.Encrypt(ctx, []byte("data key"), kms.Context{"model_name": "User", "model_id": "1"}); err != nil {
		panic(err)
	}
	// Output: level=INFO op=encrypt key_id=fake-key items=1 requests=1 contexts="[map[model_id:1 model_name:User]]" key_versions=[1] actor=ada purpose="ticket 4711"
}
