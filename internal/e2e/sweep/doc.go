// Package sweep tests the sweep engine and its steps against real databases: that every row is visited, that nothing is lost beside
// writers at full speed, and that a sweep may be killed at any point.
package sweep
