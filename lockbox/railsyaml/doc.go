// Package railsyaml reads and writes Lockbox attributes of the types hash and array, which Rails stores as the YAML that
// Ruby's Psych writes (activerecord lib/active_record/coders/yaml_column.rb). It is a module of its own, so that package
// lockbox needs no YAML.
//
// # Types
//
// [Hash] and [Array] are what a Go program works with: maps, slices, strings, numbers. [RubyHash] and [RubyArray] keep what
// these cannot: the order of the keys, and which strings are symbols. A program that changes a value which Rails reads too
// uses these, since {"a" => 1} and {a: 1} are different hashes to Ruby. All four are a lockbox.Value, so they are fields of
// a row like any other. [Hash.Into] and [HashOf] lead to structs and back, by way of encoding/json.
//
// # Reading
//
//	nil            null, ~, nothing
//	bool           true, yes, on, false, no, off, in any case of letters
//	int64          17, 1_000, 1,000, 0x1f, 0b101, 017 (octal), 1:30:00 (to the base 60)
//	*big.Int       an integer beyond 64 bits
//	float64        1.5, 1.0e+3, .inf, -.inf, .nan; but 1e3, without a dot or without a sign, is a string
//	string         all other text, and text in quotes
//	[]byte         !binary
//	time.Time      2026-01-02 15:04:05.000000000 Z, to the nanosecond, in UTC or at the offset that is written
//	Symbol         :name, :"a name"; in a Hash or an Array a string, without the colon
//	Date           2026-01-02; in a Hash or an Array a time.Time, midnight UTC
//	map[string]any, []any; in a RubyHash or a RubyArray these, nested
//
// Which text is what is decided as Psych 5.4 does it (lib/psych/scalar_scanner.rb), whose rules are not those of other YAML
// libraries: 1e3 is a string, 1:30 is 5400, y is a string and yes is not.
//
// The keys of a Hash are strings: those that Ruby has as symbols, integers, floats, booleans or dates become their text,
// and two keys that become the same text are an error, since neither may be lost. Other keys, and the merge key <<, which
// Psych does not write, are errors.
//
// A value that Ruby wrote twice is an anchor and an alias (&1, *1) in YAML; Go gets two values. An
// ActiveSupport::HashWithIndifferentAccess is a hash. All other objects (!ruby/object:…, !ruby/struct:…) are refused with
// [ErrTag], and nothing is ever made from the name of a class. An empty document, or nil, is an empty Hash or Array, as it
// is to Rails. A second document is an error. The text is UTF-8.
//
// Reading is bounded: [MaxSize] bytes of text, [MaxDepth] levels, and 100,000 values reached through aliases.
//
// # Writing
//
// The bytes are those that Psych 5.4 writes over libyaml 0.2.5, for the types above and the Go types made of them: other
// maps, whose keys are strings, symbols or integers, slices, arrays, pointers, named types, and, as text, types with
// MarshalText. Older Psych differs in the strings Y and N alone, which it leaves without quotes. The keys of a Go map are
// sorted, by their bytes or numerically, since Go keeps no order; Ruby reads any order. Anchors are not written.
//
// What Ruby would read as something else is refused: text that is not UTF-8 ([]byte is for that), and symbols such as
// :"a\nb". A []byte is always !binary, which Psych writes only for bytes outside ASCII. Times whose offset is not of
// whole minutes are written in UTC. Structs are refused: see HashOf.
//
// Active Record stores an empty hash or array as NULL, and reads NULL as an empty one. A Go program that wants the same
// sets the column to NULL; an empty Hash writes "--- {}\n", which Rails reads as well.
//
// Errors name lines and types, never keys or values. The package is safe for concurrent use.
package railsyaml
