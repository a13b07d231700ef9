// Package lockbox seals and opens messages in the format of the Ruby gem Lockbox (https://github.com/ankane/lockbox), so
// that Ruby and Go read and write the same columns.
//
// # Boxes
//
// A [Box] holds a key of 32 bytes. AES-256-GCM is the one [Algorithm] so far. A sealed message is a random nonce of 12
// bytes, the ciphertext, which is as long as the message, and a tag of 16 bytes; all three in strict base64 (RFC 4648 §4)
// unless the [Format] says raw. A message of n bytes so becomes n+28 bytes raw, and 4·⌈(n+28)/3⌉ characters as text.
//
// Authenticated are the message and the associated data given with it. The associated data is not stored: Decrypt needs
// the same bytes again, so they can bind a ciphertext to its place ("users.email_ciphertext"). What is not authenticated
// is the spelling of the base64, which is read as leniently as Ruby reads it.
//
// A Format may pad messages (ISO/IEC 7816-4), to conceal their exact length. Options may name previous versions of key,
// algorithm and padding, which are tried when the current one does not open a message.
//
// Whatever does not open is [ErrDecryptionFailed], and nothing more is said: no reason, no bytes.
//
// # Keys
//
// Under rowseal, each row brings a data key of its own. Where Lockbox stands alone, [AttributeKey] derives the key of a
// column from a master key, as the gem does, and [ParseKey] reads a key in hex.
//
// # Typed values
//
// [CodecOf] turns Go values into the bytes that the gem seals for its attribute types, and back.
//
// # FIPS 140-3
//
// The package works under GODEBUG=fips140=only.
package lockbox
