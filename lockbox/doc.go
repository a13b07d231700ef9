// Package lockbox seals and opens messages in the format of the Ruby gem Lockbox (https://github.com/ankane/lockbox), so
// that Ruby and Go read and write the same columns and files.
//
// # Boxes
//
// A [Box] holds a key of 32 bytes. A sealed message is, by [Algorithm], in bytes:
//
//	AESGCM             nonce 12 ‖ ciphertext ‖ tag 16
//	XChaCha20          nonce 24 ‖ ciphertext ‖ tag 16
//	XSalsa20, Hybrid   nonce 24 ‖ tag 16 ‖ ciphertext
//
// The nonce is random, the ciphertext is as long as the message, and the whole is in strict base64 (RFC 4648 §4) unless the
// [Format] says raw. With AESGCM, the default, a message of n bytes so becomes n+28 bytes raw, and 4·⌈(n+28)/3⌉ characters
// as text; with the others n+40.
//
// Authenticated are the message and, with AESGCM and XChaCha20, the associated data given with it. The associated data is
// not stored: Decrypt needs the same bytes again, so they can bind a ciphertext to its place ("users.email_ciphertext").
// XSalsa20 and Hybrid take none, and refuse it. What is not authenticated is the spelling of the base64, which is read as
// leniently as Ruby reads it.
//
// A Format may pad messages (ISO/IEC 7816-4), to conceal their exact length. Options may name previous versions of key,
// algorithm, padding and associated data, which are tried when the current one does not open a message.
//
// Whatever does not open is [ErrDecryptionFailed], and nothing more is said: no reason, no bytes.
//
// # Keys
//
// Under rowseal, each row brings a data key of its own. Where Lockbox stands alone, [AttributeKey] derives the key of a
// column from a master key, as the gem does, and [ParseKey] reads a key in hex. A table moves from a master key to data
// keys with a [Previous] version that has the derived key; a column or table that was renamed, with the derived key of its
// old name.
//
// [HybridKeys] are for boxes that the gem made with encryption_key and decryption_key. They do not separate the right to
// seal from the right to open, though they look as if they did: either key opens. See [Hybrid].
//
// # Files
//
// [Box.EncryptFile] and [Box.DecryptFile] seal and open whatever an io.Reader has, in the one form that the gem has for it: a
// file is one long message, raw in most setups. Its one tag covers it whole, so nothing can be handed out before all of it is
// there and authenticated, and it is held in memory; a limit keeps that bounded ([ErrTooLarge]). Name and content type are
// not part of the form.
//
// # Typed values
//
// [CodecOf] turns Go values into the bytes that the gem seals for its attribute types, and back; each [Type] says which. All
// of them are here but the YAML of hash and array, which package lockbox/railsyaml adds. A type of your own is a [Value].
//
// Decoding is stricter than the gem's, which makes 0, false or nil of what it cannot read: bytes that are not of the type
// are an error.
//
// # FIPS 140-3
//
// The package works under GODEBUG=fips140=only with the algorithm AESGCM. The others are not approved: there, New, NewHybrid
// and GenerateHybridKeys refuse them with [ErrNotFIPS].
package lockbox
