// Package check tests on real databases that Model.Check finds what would not work, and lets pass what works.
package check
