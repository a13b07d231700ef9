// Package riversweep tests a fleet on a real PostgreSQL: several processes that share a sweep, one of which is killed, with one limit of
// requests for all of them.
package riversweep
