// Package gormfacts holds what this project relies on of GORM and of the drivers beneath it: what they do, not what they
// ought to do. Each test is one fact, run. Where an upgrade changes one, a test fails here with the fact as its name, and
// gormseal, which leans on it, can be judged anew.
package gormfacts
