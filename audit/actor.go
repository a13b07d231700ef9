package audit

import "context"

type actorKey struct{}

type actor struct{ name, purpose string }

// WithActor returns a ctx whose calls are written down as those of an actor, with a purpose: who asked the application, and what
// for, which a KMS cannot know. Both are written as they are: an account's number says as much as an e-mail address, and is not one.
func WithActor(ctx context.Context, name, purpose string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{name, purpose})
}

// Actor returns what WithActor was given, "" twice without one.
func Actor(ctx context.Context) (name, purpose string) {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a.name, a.purpose
}
