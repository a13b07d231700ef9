// Package e2e holds tests that need more than the root module may import: other libraries, databases, services. It is not
// published.
package e2e
