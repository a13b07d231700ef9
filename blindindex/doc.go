// Package blindindex makes blind indexes in the format of the Ruby gem Blind Index (https://github.com/ankane/blind_index),
// so that Ruby and Go fill and search the same columns.
//
// A sealed column cannot be searched, because a value is sealed to other bytes each time. A blind index is a keyed hash of
// the value in a column of its own (email_bidx): equal values have equal indexes. To search for a value is to compute its
// index and to look for that.
//
//	WHERE email_bidx = ?
//
// # Form
//
// An [Indexer] computes
//
//	strict base64 (RFC 4648 §4) of hash(value, salt or key: the index key, length: Size)
//
// with Argon2id by default. 32 bytes so become 44 characters; with Options.Raw they stay 32 bytes. The value is hashed as
// its bytes are, without an end or a length, after [Options].Normalize. "" has an index; NULL has none, and stays NULL. Of
// other values the gem takes what Ruby's to_s makes of them: 12345 is "12345", true is "true", a date "2024-02-29".
//
// # Keys
//
// Each index column has its own key of 32 bytes, which [KeyOf] derives from a master key as the gem does, or which is
// random. Whoever has it can test guesses against the column, at the speed of the algorithm; so it belongs where the
// database is not. Argon2id makes 4 MiB of work of each guess, see [Algorithm] for the others.
//
// While a key is rotated, search for both: compute the index under the new and under the old key, and look for
// email_bidx IN (new, old). A unique index sees no duplicate across two keys: where uniqueness counts, fill a second
// column under the new key, and change over when it is full, as the gem does (email_bidx_v2).
//
// # Normalizers
//
// What is done to a value before it is hashed must be the same for whoever fills the column and for whoever searches it.
// Names in Options.Normalize, joined by "+", are applied from left to right:
//
//	lower     String#downcase: Unicode's full mapping, one code point at a time: U+0130 (İ) becomes two code points, and
//	          every Σ becomes σ, at the end of a word too
//	strip     String#strip: removes ASCII white space and NUL at both ends (Ruby 3.0 or newer)
//	squish    Active Support's String#squish: each run of Unicode white space becomes one space; then strip
//	digits    gsub(/\D/, ""): keeps 0 to 9
//	presence  Active Support's presence: what is all white space has no index, so that many rows may lack the value in a
//	          unique column
//
// Text that is not UTF-8 is ErrNotUTF8 to these five; without a normalizer, any bytes have an index. lower follows the
// version of Unicode that Go has ([unicode.Version]); Ruby has another, so the two differ on letters that have been added
// to Unicode in between. Your own functions go into Options.Normalizers. Ruby's upcase, which makes "SS" of "ß", is not
// among the names: Go's strings.ToUpper is not the same.
//
// # Columns
//
// An [Index] is the column's type. It is text of 44 characters, and must compare byte by byte: where the database ignores
// case by default (MySQL, MariaDB, SQL Server), a search would find wrong rows and a unique index would see duplicates
// that are none. On MySQL and MariaDB, declare
//
//	email_bidx varchar(44) CHARACTER SET ascii COLLATE ascii_bin
//
// which also takes an index of the database, as text without a length does not. A unique index of the database makes
// values unique; it needs the size of 32 bytes, since short indexes coincide.
//
// # What an index tells
//
// Equal values have equal indexes: whoever reads the column sees which rows agree, and how often each value occurs. Those
// who can also have a value of their choice stored learn which rows have it. Shorter indexes tell less, and find wrong
// rows, which the searcher opens and drops; [Plan] tells how short is sound, after CipherSweet's analysis. Nothing is
// authenticated: whoever can write to the column can make a row be found or not.
//
// # FIPS 140-3
//
// Under GODEBUG=fips140=only, [New] refuses Argon2id, Argon2i and Scrypt with ErrNotFIPS. PBKDF2SHA256, HMACSHA256 and
// KeyOf work.
package blindindex
